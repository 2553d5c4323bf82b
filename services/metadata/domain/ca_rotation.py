"""What to do next about the CA: a pure plan from what was observed.

The planner looks at the journal, at what live instances have acknowledged and at the clock, and
returns one step; the reconciler carries it out, journals it and asks again. Going through states
one at a time is what makes every moment of a rotation safe to be killed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.metadata.domain.issuers import Issuer, IssuerState
from services.metadata.domain.journal import Journal
from svc_core.domain.identity import WATCHER
from svc_core.domain.profiles import RotationProfile
from svc_core.domain.status import InstanceStatus

MOST_TRUSTED: Final = 5
"""Most issuers in the trusted set at a time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Journal the attempt to make an issuer for ``epoch``."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Mint:
    """Make the planned issuer in OpenBao and publish it as trusted."""

    name: str


@dataclass(frozen=True, slots=True)
class MarkTrusted:
    """Every live party trusts it."""

    name: str


@dataclass(frozen=True, slots=True)
class Activate:
    """Let it sign leaves; ``proven`` asks for a canary handshake with every server first."""

    name: str
    proven: bool


@dataclass(frozen=True, slots=True)
class MarkDrained:
    """No live connection uses it any more."""

    name: str


@dataclass(frozen=True, slots=True)
class Kick:
    """Have its remaining connections cut."""

    name: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Take it out of the trusted set."""

    name: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete issuer and key in OpenBao."""

    name: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Something is wanted, but not safe yet."""

    reason: str


Step = Plan | Mint | MarkTrusted | Activate | MarkDrained | Kick | Retire | Remove


@dataclass(frozen=True, slots=True)
class Fleet:
    """The signed statuses of every instance that is live."""

    live: Sequence[InstanceStatus]

    def silent_below(self, version: int) -> tuple[str, ...]:
        """Return who has not acknowledged ``version``: instances, and servers by name."""
        silent = [f"{s.service}/{s.instance}" for s in self.live if s.version < version]
        watchers = [s for s in self.live if s.service == WATCHER]
        if not watchers:
            return (*silent, "no live watcher")
        servers = [
            f"server {server.name}: {server.error or f'at version {server.version}'}"
            for status in watchers
            for server in status.servers
            if server.error or server.version < version
        ]
        if not any(status.servers for status in watchers):
            servers.append("no server verified")
        return (*silent, *servers)

    def users_of(self, issuer: str) -> tuple[str, ...]:
        """Return who still uses a leaf of ``issuer``: instances, and connections by count."""
        users = [f"{s.service}/{s.instance}" for s in self.live if s.issuer == issuer]
        users += [
            f"{count} connections"
            for status in self.live
            if status.service == WATCHER and (count := status.connections.get(issuer, 0))
        ]
        users += [
            f"server {server.name}"
            for status in self.live
            for server in status.servers
            if server.issuer == issuer
        ]
        return tuple(users)

    def servers_have(self, version: int) -> bool:
        """Say whether every server is verified at ``version`` or later."""
        watchers = [s for s in self.live if s.service == WATCHER and s.servers]
        return bool(watchers) and all(
            server.version >= version and not server.error
            for status in watchers
            for server in status.servers
        )


def plan(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    """Return the next step, why it has to wait, or None when there is nothing to do."""
    if not _is_usable(journal.active, now, profile):
        return _start_over(journal, now, profile)
    held: Hold | None = None
    for part in (_succeed, _drain, _retire, _remove):
        step = part(journal, fleet, now, profile)
        if isinstance(step, Hold):
            # One thing that has to wait must not keep the others from going on.
            held = held or step
        elif step is not None:
            return step
    return held


def next_deadline(journal: Journal, now: datetime, profile: RotationProfile) -> datetime:
    """Return when the plan can next change by the passing of time alone."""
    due = profile.ca.due(now)
    lead_begins = profile.ca.starts(due.next()) - profile.ca.lead
    boundary = profile.ca.starts(profile.ca.current(now).next())
    retirements = [i.since + profile.ca.period for i in journal.in_state(IssuerState.DRAINED)]
    return min([lead_begins, boundary, *retirements])


def _is_usable(active: Issuer | None, now: datetime, profile: RotationProfile) -> bool:
    """Say whether ``active`` lives long enough to wait for an orderly succession."""
    return (
        active is not None
        and active.not_after is not None
        and active.not_after - now > profile.skew
    )


def _start_over(journal: Journal, now: datetime, profile: RotationProfile) -> Step:
    """With nothing valid alive nobody can be asked: make an issuer and let it sign at once."""
    successor = journal.successor
    if successor is None or successor.is_expired(now):
        if successor is not None:
            return Retire(successor.name)
        return Plan(max(profile.ca.current(now).number, journal.highest_epoch + 1))
    if successor.state is IssuerState.PLANNED:
        return Mint(successor.name)
    return Activate(successor.name, proven=False)


def _succeed(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    successor = journal.successor
    if successor is None:
        return _stage(journal, now, profile)
    if successor.is_expired(now):
        return Retire(successor.name)
    if successor.state is IssuerState.PLANNED:
        return Mint(successor.name)
    silent = fleet.silent_below(successor.version)
    if silent:
        return Hold(f"{successor.name} is not trusted yet by: {', '.join(silent)}")
    if successor.state is IssuerState.STAGED:
        return MarkTrusted(successor.name)
    is_time = profile.ca.current(now).number >= successor.epoch
    return Activate(successor.name, proven=True) if is_time else None


def _stage(journal: Journal, now: datetime, profile: RotationProfile) -> Step | Hold | None:
    due = profile.ca.due(now).number
    if due <= journal.highest_epoch:
        return None
    if len(journal.trusted) >= MOST_TRUSTED:
        drained = journal.in_state(IssuerState.DRAINED)
        return Retire(drained[0].name) if drained else Hold("the trusted set is full")
    return Plan(due)


def _drain(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    for issuer in journal.in_state(IssuerState.DRAINING):
        if issuer.is_expired(now):
            return Retire(issuer.name)
        silent = fleet.silent_below(issuer.version)
        users = fleet.users_of(issuer.name)
        if not users and not silent:
            return MarkDrained(issuer.name)
        if (
            users
            and now - issuer.since >= profile.drain_budget
            and issuer.name not in journal.kicked
        ):
            return Kick(issuer.name)
        return Hold(f"{issuer.name} is still used by: {', '.join(users or silent)}")
    return None


def _retire(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    del fleet
    for issuer in journal.in_state(IssuerState.DRAINED):
        if now - issuer.since >= profile.ca.period or issuer.is_expired(now):
            return Retire(issuer.name)
    return None


def _remove(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    for issuer in journal.in_state(IssuerState.RETIRED):
        if fleet.servers_have(issuer.version) or now - issuer.since >= profile.ca.period:
            return Remove(issuer.name)
    return None
