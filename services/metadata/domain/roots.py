"""The roots, and the life of one as a table of legal moves.

One root signs intermediates at a time; the one before it stays trusted as long as an intermediate
it signed does. Which root signed an intermediate is a fact of that intermediate, not of the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from svc_core.errors import ProtocolOrderError

FIRST_ROOT: Final = "root"
"""The one that OpenBao was set up with; later ones are ``root-2``, ``root-3`` and so on."""


class RootState(StrEnum):
    """Where in its life a root is."""

    PLANNED = "planned"
    """The attempt is journalled; OpenBao may or may not have it yet."""
    STAGED = "staged"
    """Made in OpenBao and published as trusted; signs nothing yet."""
    SIGNING = "signing"
    """Signs intermediates."""
    LEAVING = "leaving"
    """Another signs; intermediates of this one are still trusted."""
    RETIRED = "retired"
    """Out of the trusted set; deleted next, key and all."""


_S = RootState
MOVES: Final[Mapping[RootState, frozenset[RootState]]] = {
    _S.PLANNED: frozenset({_S.STAGED}),
    _S.STAGED: frozenset({_S.SIGNING}),
    _S.SIGNING: frozenset({_S.LEAVING}),
    _S.LEAVING: frozenset({_S.RETIRED}),
    _S.RETIRED: frozenset(),
}
"""Every legal move; all others raise and change nothing."""

TRUSTED: Final = frozenset({_S.STAGED, _S.SIGNING, _S.LEAVING})
SUCCESSOR: Final = frozenset({_S.PLANNED, _S.STAGED})


@dataclass(frozen=True, slots=True)
class Root:
    """One root as the journal remembers it."""

    name: str
    """Also its name in OpenBao."""
    state: RootState
    since: datetime
    """When it entered this state."""
    version: int = 0
    """Version of the desired state that announced this state."""
    pem: str = ""
    key: str = ""
    """Id of its key in OpenBao, which the first root's has no name for."""
    not_after: datetime | None = None

    def moved(self, state: RootState, *, now: datetime, version: int | None = None) -> Self:
        """Return this root in ``state``, or raise `ProtocolOrderError`."""
        if state not in MOVES[self.state]:
            raise ProtocolOrderError(f"{self.name} cannot go from {self.state} to {state}")
        version = self.version if version is None else version
        return replace(self, state=state, since=now, version=version)


@dataclass(frozen=True, slots=True)
class Roots:
    """Every root that is remembered, oldest first."""

    known: tuple[Root, ...] = ()
    made: int = 0
    """How many there were so far; each has a name of its own."""
    is_ordered: bool = False
    """Whether an operator wants another one now."""

    @property
    def signing(self) -> Root | None:
        """The root that signs intermediates."""
        return next((r for r in self.known if r.state is RootState.SIGNING), None)

    @property
    def successor(self) -> Root | None:
        """The root that is to sign next."""
        return next((r for r in self.known if r.state in SUCCESSOR), None)

    @property
    def trusted(self) -> tuple[Root, ...]:
        """Every root in the trusted set, newest first."""
        return tuple(r for r in reversed(self.known) if r.state in TRUSTED)

    @property
    def pem(self) -> str:
        """The certificates of the trusted roots, newest first."""
        return "".join(root.pem for root in self.trusted)

    def in_state(self, state: RootState) -> tuple[Root, ...]:
        """Return the roots in ``state``, oldest first."""
        return tuple(r for r in self.known if r.state is state)

    def root(self, name: str) -> Root:
        """Return the root called ``name``, or raise `KeyError`."""
        for root in self.known:
            if root.name == name:
                return root
        raise KeyError(name)

    # --- changes: each returns new roots ---

    def adopted(self, *, pem: str, key: str, not_after: datetime, now: datetime) -> Self:
        """Take over the root that OpenBao was set up with."""
        if self.known:
            raise ProtocolOrderError("there is a root already")
        first = Root(FIRST_ROOT, RootState.SIGNING, now, 0, pem, key, not_after)
        return replace(self, known=(first,), made=1)

    def planned(self, *, now: datetime) -> Self:
        """Note that another root is about to be made."""
        if self.successor is not None:
            raise ProtocolOrderError(f"{self.successor.name} is the next root already")
        number = self.made + 1
        fresh = Root(f"{FIRST_ROOT}-{number}", RootState.PLANNED, now)
        return replace(self, known=(*self.known, fresh), made=number, is_ordered=False)

    def staged(
        self, name: str, *, pem: str, key: str, not_after: datetime, now: datetime, version: int
    ) -> Self:
        """Note the certificate of a root and put it into the trusted set."""
        moved = self.root(name).moved(RootState.STAGED, now=now, version=version)
        return self._with(replace(moved, pem=pem, key=key, not_after=not_after))

    def activated(self, name: str, *, now: datetime) -> Self:
        """Let ``name`` sign intermediates; the one before it is leaving."""
        changed = [self.root(name).moved(RootState.SIGNING, now=now)]
        if self.signing is not None:
            changed.append(self.signing.moved(RootState.LEAVING, now=now))
        return self._with(*changed)

    def retired(self, name: str, *, now: datetime, version: int) -> Self:
        """Take a root out of the trusted set."""
        return self._with(self.root(name).moved(RootState.RETIRED, now=now, version=version))

    def removed(self, name: str) -> Self:
        """Forget a root that OpenBao no longer has."""
        state = self.root(name).state
        if state is not RootState.RETIRED:
            raise ProtocolOrderError(f"{name} cannot be removed while it is {state}")
        return replace(self, known=tuple(r for r in self.known if r.name != name))

    def ordered(self) -> Self:
        """Note that an operator wants another root."""
        return replace(self, is_ordered=True)

    def _with(self, *changed: Root) -> Self:
        by_name = {root.name: root for root in changed}
        return replace(self, known=tuple(by_name.get(r.name, r) for r in self.known))


NO_ROOTS: Final = Roots()
"""As long as the one that OpenBao was set up with has not been looked up."""
