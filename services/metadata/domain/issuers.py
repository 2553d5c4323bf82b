"""The life of one issuer, as a table of legal moves.

State belongs to each issuer, since several live at once; at most one is ACTIVE, and at most one
successor stands before it. The picture in the documentation is drawn from the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from services.metadata.domain.roots import FIRST_ROOT
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
    """Another is active; connections are moving away."""
    DRAINED = "drained"
    """No live connection uses it."""
    RETIRED = "retired"
    """Out of the trusted set at the end of its life; deleted once the servers say so."""
    TAINTED = "tainted"
    """An operator distrusts it: it signs nothing any more, and trust in it ends in seconds."""
    WITHDRAWN = "withdrawn"
    """Out of the trusted set before its time; deleted like a retired one."""


@dataclass(frozen=True, slots=True)
class Move:
    """One legal move."""

    before: IssuerState
    after: IssuerState
    why: str


_S = IssuerState
LEGAL: Final = (
    Move(_S.PLANNED, _S.STAGED, "made in OpenBao, published as trusted"),
    Move(_S.PLANNED, _S.WITHDRAWN, "cannot be made, or is not wanted any more"),
    Move(_S.STAGED, _S.TRUSTED, "every live party has acknowledged"),
    Move(_S.STAGED, _S.ACTIVE, "nobody to ask, or the deadline has passed"),
    Move(_S.STAGED, _S.WITHDRAWN, "expired, or called off"),
    Move(_S.STAGED, _S.TAINTED, "an operator says so"),
    Move(_S.TRUSTED, _S.ACTIVE, "the boundary, with proof from every server"),
    Move(_S.TRUSTED, _S.WITHDRAWN, "expired, or called off"),
    Move(_S.TRUSTED, _S.TAINTED, "an operator says so"),
    Move(_S.ACTIVE, _S.DRAINING, "another is active now"),
    Move(_S.ACTIVE, _S.TAINTED, "another is active now, and an operator said so"),
    Move(_S.DRAINING, _S.DRAINED, "no live connection uses it"),
    Move(_S.DRAINING, _S.ACTIVE, "its successor failed"),
    Move(_S.DRAINING, _S.WITHDRAWN, "it failed, and nobody uses it"),
    Move(_S.DRAINING, _S.RETIRED, "expired"),
    Move(_S.DRAINING, _S.TAINTED, "an operator says so"),
    Move(_S.DRAINED, _S.ACTIVE, "its successor failed"),
    Move(_S.DRAINED, _S.RETIRED, "a period later, or room is needed"),
    Move(_S.DRAINED, _S.TAINTED, "an operator says so"),
    Move(_S.TAINTED, _S.WITHDRAWN, "nobody uses it, or three seconds later"),
)
"""Every legal move; all others raise and change nothing."""

MOVES: Final[Mapping[IssuerState, frozenset[IssuerState]]] = {
    state: frozenset(move.after for move in LEGAL if move.before is state) for state in IssuerState
}
"""The same by the state before."""

REMOVABLE: Final = frozenset({IssuerState.RETIRED, IssuerState.WITHDRAWN})
"""States nothing leads out of and in which nobody trusts an issuer, so that it may be deleted."""
SUCCESSOR: Final = frozenset({IssuerState.PLANNED, IssuerState.STAGED, IssuerState.TRUSTED})
IN_TRUST: Final = frozenset(IssuerState) - REMOVABLE - {IssuerState.PLANNED}
USED_BEFORE: Final = frozenset({IssuerState.DRAINING, IssuerState.DRAINED})
"""States of an issuer that was active and can be again."""


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
    is_tainted: bool = False
    """Whether an operator distrusts it; an active one is TAINTED only once another is active."""
    is_silenced: bool = False
    """Whether OpenBao was told to sign nothing with it any more."""
    attempt: int = 1
    """Which one of its epoch it is."""
    root: str = FIRST_ROOT
    """Which root signs it; decided when it was planned."""

    @property
    def rank(self) -> tuple[int, int]:
        """What orders issuers: the epoch, and within it the attempt."""
        return self.epoch, self.attempt

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
