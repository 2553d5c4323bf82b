"""The journal: the one document the authority decides from, written with check-and-set.

If it cannot be written nothing happens; after a crash it says exactly what was begun.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Self

from services.metadata.domain.issuers import (
    IN_TRUST,
    REMOVABLE,
    SUCCESSOR,
    USED_BEFORE,
    Issuer,
    IssuerState,
    issuer_name,
)
from services.metadata.domain.roots import FIRST_ROOT, NO_ROOTS, Roots
from svc_core.domain.audit import NO_ENTRY, AuditHead
from svc_core.domain.desired import CutLeaf, TrustMode
from svc_core.errors import ProtocolOrderError

_LONGEST_PAUSE: Final = 4
"""Periods between two attempts, however many have failed."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Which replica decides; ``beat`` moves while it lives."""

    holder: str = ""
    term: int = 0
    """Grows whenever a process takes the lease, also the same one after a restart."""
    beat: int = 0


@dataclass(frozen=True, slots=True)
class Setback:
    """The last activation that had to be undone, until a later one is complete."""

    count: int = 0
    """How many in a row."""
    epoch: int = -1
    """Of the issuer that failed."""
    resume: int = -1
    """First epoch that is tried again."""
    attempt: int = 0
    """Which one of its epoch failed."""


@dataclass(frozen=True, slots=True)
class Journal:
    """Every issuer's state, the desired state's version, and who may write."""

    version: int = 0
    """Version of the desired state this journal implies; grows by one with each change of it."""
    highest_epoch: int = -1
    """No issuer of an earlier epoch is planned ever again."""
    attempts: int = 0
    """How many issuers of the highest epoch were planned; each has a name of its own."""
    issuers: tuple[Issuer, ...] = ()
    kicked: tuple[str, ...] = ()
    """Issuers whose remaining connections are to be cut."""
    grants_digest: str = ""
    """Of the permissions in the desired state, so that a change of the ACL becomes a version."""
    lease: Lease = Lease()
    setback: Setback = Setback()
    last_order: str = ""
    """Id of the operator's last command that changed this, so that it counts once."""
    audit: AuditHead = NO_ENTRY
    """The audit entry of the last write that had one."""
    stated: AuditHead = NO_ENTRY
    """The same as of ``version``: what the desired state carries."""
    is_hurried: bool = False
    """Whether the next activation waits for everybody, but not for the boundary."""
    cut_leaves: tuple[CutLeaf, ...] = ()
    """Leaves of who was silent when the active issuer was activated."""
    fenced: tuple[str, ...] = ()
    """Servers that failed to follow, and were not verified since."""

    roots: Roots = NO_ROOTS
    """The roots that sign, or signed, the issuers."""
    trust_mode: TrustMode = TrustMode.INTERMEDIATES
    """As in the desired state, so that a change of it becomes a version."""

    # --- questions ---

    @property
    def active(self) -> Issuer | None:
        """The issuer that signs leaves."""
        return next((i for i in self.issuers if i.state is IssuerState.ACTIVE), None)

    @property
    def successor(self) -> Issuer | None:
        """The issuer that is to be active next."""
        return next((i for i in self.issuers if i.state in SUCCESSOR), None)

    @property
    def trusted(self) -> tuple[Issuer, ...]:
        """Every issuer in the trusted set, newest first."""
        return tuple(
            sorted(
                (i for i in self.issuers if i.state in IN_TRUST),
                key=lambda i: i.rank,
                reverse=True,
            )
        )

    @property
    def is_back(self) -> bool:
        """Whether the active issuer is one that was gone back to."""
        failed = (self.setback.epoch, self.setback.attempt)
        return self.active is not None and self.active.rank < failed

    def way_back(self, now: datetime, *, life: timedelta) -> Issuer | None:
        """Return the youngest issuer before the active one that lives longer than ``life``."""
        active = self.active
        fit = [
            i
            for i in self.issuers
            if active is not None
            and i.rank < active.rank
            and i.state in USED_BEFORE
            and i.not_after is not None
            and i.not_after - now > life
        ]
        return max(fit, key=lambda i: i.rank, default=None)

    def in_state(self, state: IssuerState) -> tuple[Issuer, ...]:
        """Return the issuers in ``state``, oldest first."""
        return tuple(sorted((i for i in self.issuers if i.state is state), key=lambda i: i.rank))

    def issuer(self, name: str) -> Issuer:
        """Return the issuer called ``name``, or raise `KeyError`."""
        for issuer in self.issuers:
            if issuer.name == name:
                return issuer
        raise KeyError(name)

    # --- changes: each returns a new journal ---

    def planned(self, epoch: int, *, now: datetime) -> Self:
        """Note that an issuer for ``epoch`` is about to be made."""
        if epoch < self.highest_epoch:
            raise ProtocolOrderError(f"epoch {epoch} is over: {self.highest_epoch} was planned")
        attempt = self.attempts + 1 if epoch == self.highest_epoch else 1
        name = issuer_name(epoch, attempt)
        root = self.roots.signing.name if self.roots.signing is not None else FIRST_ROOT
        fresh = Issuer(name, epoch, IssuerState.PLANNED, now, attempt=attempt, root=root)
        issuers = (*self.issuers, fresh)
        return replace(self, issuers=issuers, highest_epoch=epoch, attempts=attempt)

    def staged(
        self, name: str, *, pem: str, route_pem: str, not_after: datetime, now: datetime
    ) -> Self:
        """Note the certificates of an issuer and put it into the trusted set."""
        version = self.version + 1
        issuer = replace(
            self.issuer(name).moved(IssuerState.STAGED, now=now, version=version),
            pem=pem,
            route_pem=route_pem,
            not_after=not_after,
        )
        return replace(self._with(issuer), version=version)

    def moved(self, name: str, state: IssuerState, *, now: datetime) -> Self:
        """Move one issuer without touching the desired state."""
        issuer = self.issuer(name)
        return self._with(issuer.moved(state, now=now, version=issuer.version))

    def activated(self, name: str, *, now: datetime, cut: tuple[CutLeaf, ...] = ()) -> Self:
        """Make ``name`` the one active issuer; its predecessor drains, or is tainted.

        Args:
            name: of the successor, or of the one that is gone back to.
            now: aware, UTC.
            cut: leaves of those who are not waited for.
        """
        version = self.version + 1
        changed = [self.issuer(name).moved(IssuerState.ACTIVE, now=now, version=version)]
        if self.active is not None:
            left = IssuerState.TAINTED if self.active.is_tainted else IssuerState.DRAINING
            changed.append(self.active.moved(left, now=now, version=version))
        kicked = tuple(k for k in self.kicked if k != name)
        return replace(
            self._with(*changed), version=version, kicked=kicked, cut_leaves=cut, is_hurried=False
        )

    def went_back(
        self, name: str, *, now: datetime, epoch: int, fenced: tuple[str, ...] = ()
    ) -> Self:
        """Make ``name`` active again instead of its failed successor.

        Args:
            name: as `way_back` says.
            now: aware, UTC.
            epoch: the present one; the next attempt is at the next boundary, then two and four
                periods later.
            fenced: servers because of which; kept out until they are verified.
        """
        failed = self.active
        if failed is None or self.issuer(name).rank >= failed.rank:
            raise ProtocolOrderError(f"{name} is no issuer to go back to")
        count = self.setback.count + 1
        pause = min(1 << (count - 1), _LONGEST_PAUSE)
        setback = Setback(count, failed.epoch, epoch + pause, failed.attempt)
        kept_out = tuple(sorted({*self.fenced, *fenced}))
        return replace(self.activated(name, now=now), setback=setback, fenced=kept_out)

    def unfenced(self, names: Collection[str]) -> Self:
        """Let servers in again that were verified."""
        fenced = tuple(name for name in self.fenced if name not in names)
        return replace(self, fenced=fenced, version=self.version + 1)

    def hurried(self) -> Self:
        """Note that the next activation shall not wait for the boundary."""
        return replace(self, is_hurried=True)

    def completed(self) -> Self:
        """Note that a rotation is complete: what failed before does not count any more."""
        return replace(self, setback=Setback())

    def retired(self, name: str, *, now: datetime) -> Self:
        """Take an issuer out of the trusted set at the end of its life."""
        version = self.version + 1
        issuer = self.issuer(name).moved(IssuerState.RETIRED, now=now, version=version)
        kicked = tuple(k for k in self.kicked if k != name)
        return replace(self._with(issuer), version=version, kicked=kicked)

    def withdrawn(self, name: str, *, now: datetime) -> Self:
        """Take an issuer out of the trusted set before its time; a tainted one's users are cut."""
        before = self.issuer(name)
        # Whoever was in a hurry was so for this one.
        is_hurried = self.is_hurried and before.state not in SUCCESSOR
        if before.state is IssuerState.PLANNED:
            moved = self.moved(name, IssuerState.WITHDRAWN, now=now)
            return replace(moved, is_hurried=is_hurried)
        version = self.version + 1
        issuer = before.moved(IssuerState.WITHDRAWN, now=now, version=version)
        kicked = tuple(k for k in self.kicked if k != name)
        if before.is_tainted:
            kicked = (*kicked, name)
        return replace(self._with(issuer), version=version, kicked=kicked, is_hurried=is_hurried)

    def tainted(self, name: str, *, now: datetime) -> Self:
        """Note that an operator distrusts ``name``; the active one stays so until another is."""
        issuer = replace(self.issuer(name), is_tainted=True)
        if issuer.state is IssuerState.ACTIVE:
            return self._with(issuer)
        if issuer.state is IssuerState.PLANNED:
            return self._with(issuer).withdrawn(name, now=now)
        state = IssuerState.TAINTED
        return self._with(issuer.moved(state, now=now, version=issuer.version))

    def silenced(self, name: str) -> Self:
        """Note that OpenBao signs nothing with ``name`` any more."""
        return self._with(replace(self.issuer(name), is_silenced=True))

    def removed(self, name: str) -> Self:
        """Forget an issuer that OpenBao no longer has and nobody trusts."""
        state = self.issuer(name).state
        if state not in REMOVABLE:
            raise ProtocolOrderError(f"{name} cannot be removed while it is {state}")
        kept = replace(self, issuers=tuple(i for i in self.issuers if i.name != name))
        if name not in self.kicked:
            return kept
        kicked = tuple(k for k in self.kicked if k != name)
        return replace(kept, kicked=kicked, version=self.version + 1)

    def with_kicked(self, name: str) -> Self:
        """Ask for the remaining connections of ``name`` to be cut."""
        return replace(self, kicked=(*self.kicked, name), version=self.version + 1)

    def with_grants(self, digest: str) -> Self:
        """Note that the permissions changed."""
        return replace(self, grants_digest=digest, version=self.version + 1)

    def with_roots(self, roots: Roots, *, version: int | None = None) -> Self:
        """Replace the roots; with ``version`` when the trusted ones are others than before."""
        return replace(self, roots=roots, version=self.version if version is None else version)

    def with_trust_mode(self, mode: TrustMode) -> Self:
        """Note that the trust mode changed."""
        return replace(self, trust_mode=mode, version=self.version + 1)

    def ordered(self, order: str) -> Self:
        """Note that the operator's command ``order`` made this change."""
        return replace(self, last_order=order)

    def held_by(self, lease: Lease) -> Self:
        """Return the same journal under another lease."""
        return replace(self, lease=lease)

    def noted(self, head: AuditHead, *, before: "Journal") -> Self:
        """Return the same journal with the audit entry of the change from ``before``."""
        stated = head if self.version != before.version else self.stated
        return replace(self, audit=head, stated=stated)

    def _with(self, *changed: Issuer) -> Self:
        by_name = {issuer.name: issuer for issuer in changed}
        return replace(self, issuers=tuple(by_name.get(i.name, i) for i in self.issuers))
