"""What to do next about the CA: a pure plan from what was observed.

The planner looks at the journal, at what live instances have acknowledged and at the clock, and
returns one step; the reconciler carries it out, journals it and asks again. Going through states
one at a time is what makes every moment of a rotation safe to be killed in.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import Issuer, IssuerState
from services.metadata.domain.journal import Journal
from svc_core.domain.profiles import RotationProfile

MOST_TRUSTED: Final = 5
"""Most issuers in the trusted set at a time."""
PUT_AWAY: Final = frozenset({IssuerState.DRAINED, IssuerState.RETIRED})
"""What stays in these states for a period at most, unless it is in use."""


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
    moments = [
        profile.ca.starts(profile.ca.due(now).next()) - profile.ca.lead,
        profile.ca.starts(profile.ca.current(now).next()),
    ]
    moments += [i.since + profile.ca.period for i in journal.issuers if i.state in PUT_AWAY]
    moments += [i.not_after for i in journal.trusted if i.not_after is not None]
    if journal.active is not None and journal.active.not_after is not None:
        moments.append(journal.active.not_after - profile.skew)
    return min(moment for moment in moments if moment > now)


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
    if successor is None:
        if len(journal.trusted) >= MOST_TRUSTED:
            # Older than the issuer that ends now, so nothing can rest on it any more.
            return Retire(journal.trusted[-1].name)
        return Plan(max(profile.ca.current(now).number, journal.highest_epoch + 1))
    if successor.state is IssuerState.PLANNED:
        return _make(successor, now, profile)
    if successor.is_expired(now):
        return Retire(successor.name)
    return Activate(successor.name, proven=False)


def _make(planned: Issuer, now: datetime, profile: RotationProfile) -> Step:
    """Make it; one that could not be made for a whole period is given up for the next epoch's."""
    if now - planned.since >= profile.ca.period:
        return Remove(planned.name)
    return Mint(planned.name)


def _succeed(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    successor = journal.successor
    if successor is None:
        return _stage(journal, fleet, now, profile)
    if successor.state is IssuerState.PLANNED:
        return _make(successor, now, profile)
    if successor.is_expired(now):
        return Retire(successor.name)
    silent = fleet.silent_below(successor.version)
    if silent:
        return Hold(f"{successor.name} is not trusted yet by: {', '.join(silent)}")
    if successor.state is IssuerState.STAGED:
        return MarkTrusted(successor.name)
    is_time = profile.ca.current(now).number >= successor.epoch
    return Activate(successor.name, proven=True) if is_time else None


def _stage(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    due = profile.ca.due(now).number
    if due <= journal.highest_epoch:
        return None
    if len(journal.trusted) < MOST_TRUSTED:
        return Plan(due)
    unused = [i for i in journal.in_state(IssuerState.DRAINED) if not fleet.may_use(i)]
    return Retire(unused[0].name) if unused else Hold("the trusted set is full")


def _drain(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    held: Hold | None = None
    for issuer in journal.in_state(IssuerState.DRAINING):
        if issuer.is_expired(now):
            return Retire(issuer.name)
        users = fleet.may_use(issuer)
        if not users:
            return MarkDrained(issuer.name)
        if _has_outstayed(issuer, profile.drain_budget, journal, fleet, now):
            return Kick(issuer.name)
        held = held or Hold(f"{issuer.name} is still used by: {', '.join(users)}")
    return held


def _retire(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    held: Hold | None = None
    for issuer in journal.in_state(IssuerState.DRAINED):
        users = fleet.may_use(issuer)
        is_due = now - issuer.since >= profile.ca.period
        if issuer.is_expired(now) or (is_due and not users):
            return Retire(issuer.name)
        if is_due:
            # Whoever slept while it drained comes back with its old leaf, and has to move first;
            # a leaf that nobody moves must not keep its issuer trusted to the end of its life.
            if _has_outstayed(
                issuer, profile.ca.period + profile.drain_budget, journal, fleet, now
            ):
                return Kick(issuer.name)
            held = held or Hold(f"{issuer.name} may be in use again: {', '.join(users)}")
    return held


def _has_outstayed(
    issuer: Issuer, budget: timedelta, journal: Journal, fleet: Fleet, now: datetime
) -> bool:
    """Say whether ``issuer`` is used although its users had time to leave and were not cut yet."""
    return (
        bool(fleet.users_of(issuer.name))
        and now - issuer.since >= budget
        and issuer.name not in journal.kicked
    )


def _remove(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    for issuer in journal.in_state(IssuerState.RETIRED):
        if fleet.servers_have(issuer.version) or now - issuer.since >= profile.ca.period:
            return Remove(issuer.name)
    return None
