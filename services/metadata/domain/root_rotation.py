"""What to do next about the roots: a pure plan, beside that of the issuers.

Roots rotate on a rarer schedule and by order. In mode ``intermediates`` nobody trusts a root, so
the next one signs as soon as it is made; in mode ``chain`` every live party trusts it first. Either
way intermediates of both are trusted side by side until the last one of the former root is gone.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import REMOVABLE
from services.metadata.domain.journal import Journal
from services.metadata.domain.roots import Root, RootState
from services.metadata.domain.rotation_steps import Hold
from svc_core.domain.desired import TrustMode
from svc_core.domain.profiles import RotationProfile

MOST_ROOTS: Final = 3
"""Most roots in the trusted set at a time."""


@dataclass(frozen=True, slots=True)
class PlanRoot:
    """Journal the attempt to make another root."""


@dataclass(frozen=True, slots=True)
class MakeRoot:
    """Make the planned root in OpenBao and publish it as trusted."""

    name: str


@dataclass(frozen=True, slots=True)
class UseRoot:
    """Let it sign intermediates from now on."""

    name: str


@dataclass(frozen=True, slots=True)
class RetireRoot:
    """Take it out of the trusted set: no intermediate of it is left there."""

    name: str


@dataclass(frozen=True, slots=True)
class RemoveRoot:
    """Delete it in OpenBao, key and all."""

    name: str


RootStep = PlanRoot | MakeRoot | UseRoot | RetireRoot | RemoveRoot


def plan_roots(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> RootStep | Hold | None:
    """Return the next step, why it has to wait, or None when there is nothing to do."""
    held: Hold | None = None
    for part in (_succeed, _retire, _remove):
        step = part(journal, fleet, now, profile)
        if isinstance(step, Hold):
            held = held or step
        elif step is not None:
            return step
    return held


def room_for_another(journal: Journal) -> bool:
    """Say whether another root may be trusted besides those that are."""
    return len(journal.roots.trusted) < MOST_ROOTS


def order_refusal(journal: Journal) -> str:
    """Return why another root cannot be ordered now; empty when it can."""
    if journal.roots.successor is not None or journal.roots.is_ordered:
        return "another root is being made or trusted already"
    if not room_for_another(journal):
        names = ", ".join(root.name for root in journal.roots.trusted)
        return f"as many roots are trusted as may be: {names}"
    return ""


def succession_due(signing: Root, profile: RotationProfile) -> datetime:
    """Return when another root is made without an order, because of age or of the end."""
    is_old = signing.since + profile.root_period
    # Two periods to make the next one before this one is too near its end to sign.
    is_ending = _last_use(signing, profile, periods=2)
    return is_old if is_ending is None else min(is_old, is_ending)


def next_root_deadline(
    journal: Journal, now: datetime, profile: RotationProfile
) -> datetime | None:
    """Return when the plan can next change by the passing of time alone, None if it cannot."""
    signing = journal.roots.signing
    if signing is None:
        return None
    moments = (succession_due(signing, profile), _last_use(signing, profile, periods=0))
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


def _succeed(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> RootStep | Hold | None:
    successor, signing = journal.roots.successor, journal.roots.signing
    if successor is None:
        if signing is None or not _is_due(journal, signing, now, profile):
            return None
        return PlanRoot() if room_for_another(journal) else Hold("too many roots are trusted")
    if successor.state is RootState.PLANNED:
        return MakeRoot(successor.name)
    if not _may_wait(journal, signing, now, profile):
        return UseRoot(successor.name)
    silent = fleet.silent_below(successor.version)
    if silent:
        return Hold(f"{successor.name} is not trusted yet by: {', '.join(silent)}")
    return UseRoot(successor.name)


def _is_due(journal: Journal, signing: Root, now: datetime, profile: RotationProfile) -> bool:
    return journal.roots.is_ordered or now >= succession_due(signing, profile)


def _may_wait(
    journal: Journal, signing: Root | None, now: datetime, profile: RotationProfile
) -> bool:
    """Say whether somebody trusts roots, and can be waited for.

    An issuer of the next root is active only once everybody trusts both, so going on without
    asking harms nobody; not going on would leave only issuers that end early.
    """
    active = journal.active
    if active is None or active.is_expired(now) or signing is None:
        return False
    end = _last_use(signing, profile, periods=0)
    return journal.trust_mode is TrustMode.CHAIN and (end is None or now < end)


def _last_use(root: Root, profile: RotationProfile, *, periods: int) -> datetime | None:
    """Return from when on an intermediate made ``periods`` later would end before its time."""
    needed = profile.ca.validity + profile.ca.lead + periods * profile.ca.period
    return None if root.not_after is None else root.not_after - needed


def _retire(
    journal: Journal, _fleet: Fleet, _now: datetime, _profile: RotationProfile
) -> RootStep | None:
    in_use = {i.root for i in journal.issuers if i.state not in REMOVABLE}
    leaving = journal.roots.in_state(RootState.LEAVING)
    return next((RetireRoot(r.name) for r in leaving if r.name not in in_use), None)


def _remove(
    journal: Journal, _fleet: Fleet, _now: datetime, _profile: RotationProfile
) -> RootStep | None:
    # Certificates outlive the key that signed them, so nobody has to be waited for.
    retired = journal.roots.in_state(RootState.RETIRED)
    return RemoveRoot(retired[0].name) if retired else None
