"""The life of one issuer, as a table of legal moves.

State belongs to each issuer, since several live at once; at most one is ACTIVE, and at most one
successor stands before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from svc_core.domain.desired import TrustedIssuer
from svc_core.errors import ProtocolOrderError


class IssuerState(StrEnum):
    """Where in its life an issuer is."""

    PLANNED = "planned"
    """The attempt is journalled; OpenBao may or may not have it yet."""
    STAGED = "staged"
    """Made in OpenBao and published as trusted."""
    TRUSTED = "trusted"
    """Every live party has acknowledged that it trusts it."""
    ACTIVE = "active"
    """Signs leaves."""
    DRAINING = "draining"
    """A successor is active; connections are moving away."""
    DRAINED = "drained"
    """No live connection uses it."""
    RETIRED = "retired"
    """Out of the trusted set; to be deleted once the servers have acknowledged that."""


REMOVABLE: Final = frozenset({IssuerState.PLANNED, IssuerState.RETIRED})
"""States in which nobody trusts an issuer, so that it may be deleted and forgotten."""


MOVES: Final[Mapping[IssuerState, frozenset[IssuerState]]] = {
    IssuerState.PLANNED: frozenset({IssuerState.STAGED}),
    IssuerState.STAGED: frozenset({IssuerState.TRUSTED, IssuerState.ACTIVE, IssuerState.RETIRED}),
    IssuerState.TRUSTED: frozenset({IssuerState.ACTIVE, IssuerState.RETIRED}),
    IssuerState.ACTIVE: frozenset({IssuerState.DRAINING}),
    IssuerState.DRAINING: frozenset({IssuerState.DRAINED, IssuerState.RETIRED}),
    IssuerState.DRAINED: frozenset({IssuerState.RETIRED}),
    IssuerState.RETIRED: frozenset(),
}
"""Legal moves; STAGED to ACTIVE exists for a start with nothing else alive (first boot)."""

SUCCESSOR: Final = frozenset({IssuerState.PLANNED, IssuerState.STAGED, IssuerState.TRUSTED})
IN_TRUST: Final = frozenset(
    {
        IssuerState.STAGED,
        IssuerState.TRUSTED,
        IssuerState.ACTIVE,
        IssuerState.DRAINING,
        IssuerState.DRAINED,
    }
)


def issuer_name(epoch: int, attempt: int) -> str:
    """Return ``ca-<epoch>-<attempt>``, the issuer's name everywhere."""
    return f"ca-{epoch}-{attempt}"


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer as the journal remembers it."""

    name: str
    epoch: int
    state: IssuerState
    since: datetime
    """When it entered this state."""
    version: int = 0
    """Version of the desired state that announced this state."""
    pem: str = ""
    route_pem: str = ""
    not_after: datetime | None = None

    def moved(self, state: IssuerState, *, now: datetime, version: int) -> Self:
        """Return this issuer in ``state``, or raise `ProtocolOrderError`."""
        if state not in MOVES[self.state]:
            raise ProtocolOrderError(f"{self.name} cannot go from {self.state} to {state}")
        return replace(self, state=state, since=now, version=version)

    def is_expired(self, now: datetime) -> bool:
        """Say whether its own certificate's life is over; a planned one has none."""
        return self.not_after is not None and now >= self.not_after

    def as_trusted(self) -> TrustedIssuer:
        """Return it as the desired state carries it."""
        if self.not_after is None:
            raise ProtocolOrderError(f"{self.name} has no certificate yet")
        return TrustedIssuer(self.name, self.epoch, self.pem, self.route_pem, self.not_after)
