"""One identity's certificate material as one value, and how well it will serve from here on.

Thresholds are shares of the leaf's life, not fixed times: the same rule holds for a leaf of twenty
seconds and for one of a day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from svc_core.domain.secrets import SecretBytes

DEGRADED_BELOW: Final = 1 / 3
"""Share of the life left; a renewal was due at a half."""
CRITICAL_BELOW: Final = 1 / 10


class TlsState(IntEnum):
    """How material will serve; the numbers are those of the metric, and grow with the trouble."""

    OK = 0
    """There is life left and the last change worked."""
    DEGRADED = 1
    """A change failed or is overdue; everything still works."""
    CRITICAL = 2
    """Less than a tenth of the life is left: somebody must act."""
    EXPIRED = 3
    """Every new handshake fails."""

    @property
    def label(self) -> str:
        """The name in lower case, as it is logged and reported."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class LeafNames:
    """The exact names a leaf is for."""

    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()

    @property
    def hosts(self) -> Sequence[str]:
        """The names a client can ask for."""
        return (*self.dns, *self.ips)


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
    root_pem: str = ""
    """The roots each trusted intermediate must be signed by; empty: it need not be by any."""

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


@dataclass(frozen=True, slots=True)
class TlsHealth:
    """How one identity is, for metrics, logs, readiness and people."""

    state: TlsState
    remaining: timedelta
    """Life left of the leaf in use; negative once expired, zero without one."""
    issuer: str = ""
    generation: int = 0
    """How often new material was taken over since the process started."""
    failures: int = 0
    """How often new material was refused since the process started."""
    last_error: str = ""
    """Why the newest material was refused; empty once a later one was taken."""


def judge(material: TlsMaterial, *, now: datetime, has_failed: bool) -> TlsState:
    """Say how ``material`` will serve.

    Args:
        material: what is in use.
        now: aware.
        has_failed: whether the last attempt to replace it was refused.
    """
    left = material.remaining(now)
    life = material.not_after - material.issued_at
    if left <= timedelta(0):
        return TlsState.EXPIRED
    if left < life * CRITICAL_BELOW:
        return TlsState.CRITICAL
    if has_failed or left < life * DEGRADED_BELOW:
        return TlsState.DEGRADED
    return TlsState.OK
