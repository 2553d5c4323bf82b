"""What a NATS link logs in with: one identity's material as it is at that moment."""

from svc_core.adapters.nats_link import LinkCredentials
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.errors import TlsMaterialError


def link_credentials(identity: TlsIdentity) -> LinkCredentials:
    """Return the credentials for a new link.

    Raises:
        TlsMaterialError: nothing was adopted yet.
    """
    context, material = identity.context, identity.material
    if material is None:
        raise TlsMaterialError("a context without material")
    return LinkCredentials(context, material.issuer, material.chain_pem)
