"""`TlsMaterial`: one identity's certificate chain, its key and what it trusts, as one value."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from svc_core.domain.secrets import SecretBytes


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """A matched set: never published or adopted in parts."""

    chain_pem: str
    """Leaf first, then the intermediate that signed it."""
    key_pem: SecretBytes
    trust_pem: str
    """The trusted intermediates only."""
    issuer: str
    """Name of the issuer, ``ca-<epoch>-<attempt>``."""
    not_before: datetime
    not_after: datetime
    issued_at: datetime

    def renew_at(self, jitter: float) -> datetime:
        """Return when to renew: half of the remaining life at issue, moved by ±10 %.

        Args:
            jitter: in [0, 1); decides where within the ±10 %.
        """
        life = self.not_after - self.issued_at
        return self.issued_at + life * (0.45 + 0.1 * jitter)

    def remaining(self, now: datetime) -> timedelta:
        """Return how long the leaf is still valid; negative once expired."""
        return self.not_after - now
