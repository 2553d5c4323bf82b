"""The journal: the one document the authority decides from, written with check-and-set.

If it cannot be written nothing happens; after a crash it says exactly what was begun.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from services.metadata.domain.issuers import (
    IN_TRUST,
    REMOVABLE,
    SUCCESSOR,
    Issuer,
    IssuerState,
    issuer_name,
)
from svc_core.errors import MalformedMessageError, ProtocolOrderError


@dataclass(frozen=True, slots=True)
class Lease:
    """Which replica decides; ``beat`` moves while it lives."""

    holder: str = ""
    term: int = 0
    beat: int = 0


@dataclass(frozen=True, slots=True)
class Journal:
    """Every issuer's state, the desired state's version, and who may write."""

    version: int = 0
    """Version of the desired state this journal implies; grows by one with each change of it."""
    highest_epoch: int = -1
    """No issuer of this epoch or an earlier one is planned ever again."""
    issuers: tuple[Issuer, ...] = ()
    kicked: tuple[str, ...] = ()
    """Issuers whose remaining connections are to be cut."""
    grants_digest: str = ""
    """Of the permissions in the desired state, so that a change of the ACL becomes a version."""
    lease: Lease = Lease()

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
                key=lambda i: i.epoch,
                reverse=True,
            )
        )

    def in_state(self, state: IssuerState) -> tuple[Issuer, ...]:
        """Return the issuers in ``state``, oldest first."""
        return tuple(sorted((i for i in self.issuers if i.state is state), key=lambda i: i.epoch))

    def issuer(self, name: str) -> Issuer:
        """Return the issuer called ``name``, or raise `KeyError`."""
        for issuer in self.issuers:
            if issuer.name == name:
                return issuer
        raise KeyError(name)

    # --- changes: each returns a new journal ---

    def planned(self, epoch: int, *, now: datetime) -> Self:
        """Note that an issuer for ``epoch`` is about to be made."""
        fresh = Issuer(issuer_name(epoch, 1), epoch, IssuerState.PLANNED, now)
        return replace(
            self,
            issuers=(*self.issuers, fresh),
            highest_epoch=max(self.highest_epoch, epoch),
        )

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

    def activated(self, name: str, *, now: datetime) -> Self:
        """Make ``name`` the one active issuer and let its predecessor drain."""
        version = self.version + 1
        changed = self
        if self.active is not None:
            changed = self._with(self.active.moved(IssuerState.DRAINING, now=now, version=version))
        issuer = self.issuer(name).moved(IssuerState.ACTIVE, now=now, version=version)
        return replace(Journal._with(changed, issuer), version=version)

    def retired(self, name: str, *, now: datetime) -> Self:
        """Take an issuer out of the trusted set."""
        version = self.version + 1
        issuer = self.issuer(name).moved(IssuerState.RETIRED, now=now, version=version)
        kicked = tuple(k for k in self.kicked if k != name)
        return replace(self._with(issuer), version=version, kicked=kicked)

    def removed(self, name: str) -> Self:
        """Forget an issuer that OpenBao no longer has and nobody trusts."""
        state = self.issuer(name).state
        if state not in REMOVABLE:
            raise ProtocolOrderError(f"{name} cannot be removed while it is {state}")
        return replace(self, issuers=tuple(i for i in self.issuers if i.name != name))

    def with_kicked(self, name: str) -> Self:
        """Ask for the remaining connections of ``name`` to be cut."""
        return replace(self, kicked=(*self.kicked, name), version=self.version + 1)

    def with_grants(self, digest: str) -> Self:
        """Note that the permissions changed."""
        return replace(self, grants_digest=digest, version=self.version + 1)

    def held_by(self, lease: Lease) -> Self:
        """Return the same journal under another lease."""
        return replace(self, lease=lease)

    def _with(self, issuer: Issuer) -> Self:
        return replace(
            self, issuers=tuple(issuer if i.name == issuer.name else i for i in self.issuers)
        )


def encode(journal: Journal) -> dict[str, object]:
    """Return the journal as a JSON-shaped document."""
    return {
        "version": journal.version,
        "highest_epoch": journal.highest_epoch,
        "kicked": list(journal.kicked),
        "grants_digest": journal.grants_digest,
        "lease": {
            "holder": journal.lease.holder,
            "term": journal.lease.term,
            "beat": journal.lease.beat,
        },
        "issuers": [
            {
                "name": i.name,
                "epoch": i.epoch,
                "state": i.state.value,
                "since": i.since.isoformat(),
                "version": i.version,
                "pem": i.pem,
                "route_pem": i.route_pem,
                "not_after": i.not_after.isoformat() if i.not_after else None,
            }
            for i in journal.issuers
        ],
    }


def decode(document: Mapping[str, Any]) -> Journal:
    """Return the journal in ``document``, or raise `MalformedMessageError`."""
    try:
        return Journal(
            version=int(document["version"]),
            highest_epoch=int(document["highest_epoch"]),
            kicked=tuple(str(k) for k in document["kicked"]),
            grants_digest=str(document["grants_digest"]),
            lease=Lease(
                str(document["lease"]["holder"]),
                int(document["lease"]["term"]),
                int(document["lease"]["beat"]),
            ),
            issuers=tuple(_issuer(i) for i in document["issuers"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as err:
        raise MalformedMessageError(f"the journal cannot be read: {err}") from err


def _issuer(document: Mapping[str, Any]) -> Issuer:
    not_after = document["not_after"]
    return Issuer(
        name=str(document["name"]),
        epoch=int(document["epoch"]),
        state=IssuerState(document["state"]),
        since=_instant(document["since"]),
        version=int(document["version"]),
        pem=str(document["pem"]),
        route_pem=str(document["route_pem"]),
        not_after=None if not_after is None else _instant(not_after),
    )


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant without a time zone")
    return instant.astimezone(UTC)
