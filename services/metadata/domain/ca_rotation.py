"""What to do next about the CA: a pure plan from what was observed.

The planner looks at the journal, at what live instances have acknowledged and at the clock, and
returns one step; the reconciler carries it out, journals it and asks again. Going through states
one at a time is what makes every moment of a rotation safe to be killed in.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final

from services.metadata.domain.ca_recovery import (
    MOST_TRUSTED,
    end_tainted,
    flee,
    go_back,
    lift_fences,
    make,
    replace_at_once,
)
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import REMOVABLE, Issuer, IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.rotation_steps import (
    Activate,
    Hold,
    Kick,
    MarkDrained,
    MarkTrusted,
    Plan,
    Remove,
    Retire,
    Step,
    Withdraw,
)
from svc_core.domain.epochs import Epoch
from svc_core.domain.profiles import RotationProfile

PUT_AWAY: Final = REMOVABLE | {IssuerState.DRAINED}
"""What stays in these states for a period at most, unless it is in use."""


class SilencePolicy(StrEnum):
    """What happens when somebody has not acknowledged the successor by the deadline."""

    WAIT = "wait"
    """Go on waiting, until the active issuer is about to end."""
    QUORUM = "quorum"
    """Go on with all servers and all who answered; who did not is cut at once."""


def plan(
    journal: Journal,
    fleet: Fleet,
    now: datetime,
    profile: RotationProfile,
    policy: SilencePolicy = SilencePolicy.QUORUM,
) -> Step | Hold | None:
    """Return the next step, why it has to wait, or None when there is nothing to do."""
    active = journal.active
    if active is None or not _is_usable(active, now, profile):
        # With nothing valid alive nobody can be asked, and nothing can rest on what makes room.
        return replace_at_once(journal, now, profile)
    held: Hold | None = None
    succeed = flee if active.is_tainted else partial(_succeed, policy=policy)
    for part in (end_tainted, go_back, lift_fences, succeed, _drain, _retire, _remove):
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
        moments.append(hold_deadline(journal.active.not_after, profile))
    return min(moment for moment in moments if moment > now)


def hold_deadline(not_after: datetime, profile: RotationProfile) -> datetime:
    """Return until when a successor waits for everybody.

    Early enough that leaves of the active issuer, which ends at ``not_after``, are never shorter
    than they should be, with a lead to spare for the activation itself.
    """
    return not_after - profile.leaf_ttl - profile.skew - profile.ca.lead


def _is_usable(active: Issuer, now: datetime, profile: RotationProfile) -> bool:
    """Say whether ``active`` lives long enough to wait for an orderly succession."""
    return active.not_after is not None and active.not_after - now > profile.skew


def _succeed(
    journal: Journal,
    fleet: Fleet,
    now: datetime,
    profile: RotationProfile,
    *,
    policy: SilencePolicy,
) -> Step | Hold | None:
    successor = journal.successor
    if successor is None:
        return _stage(journal, fleet, now, profile)
    if successor.state is IssuerState.PLANNED:
        return make(successor, now, profile)
    if successor.is_expired(now):
        return Withdraw(successor.name)
    is_time = journal.is_hurried or profile.ca.current(now).number >= successor.epoch
    silent = fleet.silent_below(successor.version)
    if silent:
        is_enough = (
            policy is SilencePolicy.QUORUM
            and is_time
            and _is_past_deadline(journal, now, profile)
            and fleet.servers_have(successor.version)
        )
        hold = Hold(f"{successor.name} is not trusted yet by: {', '.join(silent)}")
        cut = fleet.leaves_below(successor.version)
        return Activate(successor.name, proven=True, cut=cut) if is_enough else hold
    if successor.state is IssuerState.STAGED:
        return MarkTrusted(successor.name)
    return Activate(successor.name, proven=True) if is_time else None


def _is_past_deadline(journal: Journal, now: datetime, profile: RotationProfile) -> bool:
    end = journal.active.not_after if journal.active is not None else None
    return end is not None and now >= hold_deadline(end, profile)


def _is_urgent(journal: Journal, due: int, profile: RotationProfile) -> bool:
    """Say whether an attempt for ``due`` is the last that leaves time for waiting."""
    end = journal.active.not_after if journal.active is not None else None
    following = profile.ca.starts(Epoch(due + 1))
    return end is None or following >= hold_deadline(end, profile)


def _stage(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    due = _due_epoch(journal, now, profile)
    if due is None:
        return None
    if len(journal.trusted) < MOST_TRUSTED:
        return Plan(due)
    unused = [i for i in journal.in_state(IssuerState.DRAINED) if not fleet.may_use(i)]
    return Retire(unused[0].name) if unused else Hold("the trusted set is full")


def _due_epoch(journal: Journal, now: datetime, profile: RotationProfile) -> int | None:
    """Return the epoch that a successor is due for, None while there is none."""
    due = profile.ca.due(now).number
    if journal.is_hurried:
        # Another one of the present epoch, unless the next one's is due anyway: boundaries stay.
        return max(due, journal.highest_epoch)
    if due <= journal.highest_epoch:
        return None
    if due < journal.setback.resume and not _is_urgent(journal, due, profile):
        return None
    return due


def _drain(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    held: Hold | None = None
    # What a fenced server uses is no reason to wait; it is out until it has moved.
    fleet = fleet.without(journal.fenced)
    for issuer in journal.in_state(IssuerState.DRAINING):
        if issuer.is_expired(now):
            return Retire(issuer.name)
        has_failed = journal.active is not None and issuer.rank > journal.active.rank
        users = fleet.may_use(issuer)
        if has_failed and fleet.is_watched and now - issuer.since >= profile.drain_budget:
            # Servers that fail may never acknowledge; what counts is that nobody is on it.
            users = fleet.users_of(issuer.name)
        if not users:
            return Withdraw(issuer.name) if has_failed else MarkDrained(issuer.name)
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
    for issuer in (i for i in journal.issuers if i.state in REMOVABLE):
        was_trusted = issuer.not_after is not None
        is_over = now - issuer.since >= profile.ca.period
        is_left = fleet.servers_have(issuer.version) and not fleet.users_of(issuer.name)
        if not was_trusted or is_over or is_left:
            return Remove(issuer.name)
    return None
