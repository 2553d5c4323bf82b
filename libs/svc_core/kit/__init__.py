"""The composition kit: everything a service on this library needs, built and owned in one place.

A service says what it does as loops over a `ServiceKit`; the kit gives it an identity, a session
with OpenBao, certificates that follow the CA, a connection that swaps without a gap, keys that
arrive before they are needed, an admin listener, logs, metrics and exit codes.
"""

from svc_core.kit.service_kit import ServiceKit, client_spec
from svc_core.kit.serving import run, serve

__all__ = ["ServiceKit", "client_spec", "run", "serve"]
