"""What an instance says about itself, signed, so that an authority can count acknowledgements."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from svc_core.domain.identity import InstanceName, ServiceName

NOT_LOOKED_AT: Final = "not verified yet"
"""Error of a server at which a Watcher that has just started has not looked."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One NATS server as Watcher verified it."""

    name: str
    version: int
    """Version of the desired state that this server was verified to run with."""
    issuer: str
    """Issuer of the certificate the server was seen to serve."""
    error: str = ""
    failed_at: int = 0
    """Version that this server was judged not to take over: it refused, or is silent for longer
    than any answer takes. 0: no such judgement; an ``error`` alone may still mend itself."""


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """One instance's signed acknowledgement and heartbeat."""

    service: ServiceName
    instance: InstanceName
    boot_id: str
    sent_at: datetime
    version: int
    """Version of the desired state whose trust this instance has taken over."""
    issuer: str
    """Issuer of the leaf its live connection uses."""
    key_epoch: int
    profile: str
    servers: tuple[ServerStatus, ...] = ()
    """Watcher only: every NATS server."""
    connections: Mapping[str, int] = field(default_factory=dict)
    """Watcher only: live client connections by issuer name; ``?`` for unknown issuers."""
    bundle_version: int = 0
    """Version of the bundle in use; 0 where there is none, or the instance does not say."""
    leaf: str = ""
    """SHA-256 of the leaf its live connection uses, lower-case hex; empty without a connection."""

    def is_live(self, now: datetime, *, within: timedelta) -> bool:
        """Say whether this status is young enough to count its instance as live."""
        return now - self.sent_at <= within
