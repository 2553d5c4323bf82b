"""`ServerCheck` as a live connection."""

from svc_core.adapters.nats_canary import prove_server
from svc_core.domain.tls import TlsMaterial


class LiveServerCheck:
    """Shakes hands with one server."""

    async def prove(self, url: str, canary: TlsMaterial) -> str:
        """Connect as the canary; return the empty string, or why it failed."""
        return await prove_server(url, canary)
