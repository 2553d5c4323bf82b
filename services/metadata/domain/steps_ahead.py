"""The plan run ahead of time: step after step, each applied to a journal in memory.

Nothing is decided here. The same pure plans that the reconciler asks, that of the roots before that
of the issuers, are asked again and again, and between answers the clock moves on to when one of
them can next change. Everybody is taken to follow at once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.metadata.domain import root_rotation as root_steps
from services.metadata.domain import rotation_steps as steps
from services.metadata.domain.ca_rotation import SilencePolicy, next_deadline, plan
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.root_rotation import RootStep, next_root_deadline, plan_roots
from services.metadata.domain.rotation_steps import Hold, Step
from svc_core.domain.epochs import UNIX_EPOCH
from svc_core.domain.identity import WATCHER, InstanceName
from svc_core.domain.profiles import RotationProfile
from svc_core.domain.status import InstanceStatus, ServerStatus

AnyStep = Step | RootStep


@dataclass(frozen=True, slots=True)
class Taken:
    """One step as it will be taken."""

    at: datetime
    step: AnyStep
    before: Journal
    after: Journal


def steps_ahead(
    journal: Journal,
    fleet: Fleet,
    now: datetime,
    profile: RotationProfile,
    policy: SilencePolicy,
    *,
    until: datetime,
) -> Iterator[Taken]:
    """Yield every step from ``now`` to ``until``, in order.

    Args:
        journal: as it is.
        fleet: who is live; each is taken to follow at once.
        now: aware, UTC.
        profile: of the deployment.
        policy: what happens when somebody is silent.
        until: aware, UTC; steps of this very instant are still yielded.
    """
    moment = now
    while moment <= until:
        following = followed(fleet, journal)
        step: AnyStep | Hold | None = plan_roots(journal, following, moment, profile)
        if step is None or isinstance(step, Hold):
            step = plan(journal, following, moment, profile, policy)
        if step is None or isinstance(step, Hold):
            moment = _next_moment(journal, moment, profile)
            continue
        after = applied(journal, step, now=moment, profile=profile)
        yield Taken(moment, step, journal, after)
        journal = after


def followed(fleet: Fleet, journal: Journal) -> Fleet:
    """Return a fleet that has done what ``journal`` says; one Watcher speaks for everybody."""
    active = journal.active.name if journal.active is not None else ""
    names = tuple(dict.fromkeys(s.name for s in fleet.servers)) or ("server",)
    servers = tuple(ServerStatus(name, journal.version, active) for name in names)
    everybody = InstanceStatus(
        WATCHER,
        InstanceName("any"),
        boot_id="any",
        sent_at=UNIX_EPOCH,
        version=journal.version,
        issuer=active,
        key_epoch=0,
        profile="any",
        servers=servers,
    )
    return Fleet([everybody])


def applied(journal: Journal, step: AnyStep, *, now: datetime, profile: RotationProfile) -> Journal:
    """Return the journal after ``step``, as far as it can be known without OpenBao.

    Raises:
        ProtocolOrderError: the step is not legal in ``journal``.
    """
    return _APPLIERS[type(step)](journal, step, now, profile)


def _next_moment(journal: Journal, moment: datetime, profile: RotationProfile) -> datetime:
    issuers = next_deadline(journal, moment, profile)
    roots = next_root_deadline(journal, moment, profile)
    return issuers if roots is None else min(issuers, roots)


def _staged(journal: Journal, name: str, now: datetime, profile: RotationProfile) -> Journal:
    known = {root.name: root.not_after for root in journal.roots.known}
    end, own_end = known.get(journal.issuer(name).root), now + profile.ca.validity
    # No issuer outlives its root.
    end = own_end if end is None else min(end, own_end)
    return journal.staged(name, pem="", route_pem="", not_after=end, now=now)


def _root_staged(journal: Journal, name: str, now: datetime, profile: RotationProfile) -> Journal:
    version, end = journal.version + 1, now + profile.root_validity
    roots = journal.roots.staged(name, pem="", key="", not_after=end, now=now, version=version)
    return journal.with_roots(roots, version=version)


def _root_retired(journal: Journal, name: str, now: datetime) -> Journal:
    version = journal.version + 1
    retired = journal.roots.retired(name, now=now, version=version)
    return journal.with_roots(retired, version=version)


_Apply = Callable[[Journal, Any, datetime, RotationProfile], Journal]
_APPLIERS: Final[Mapping[type[AnyStep], _Apply]] = {
    steps.Plan: lambda j, s, now, _: j.planned(s.epoch, now=now),
    steps.Mint: lambda j, s, now, p: _staged(j, s.name, now, p),
    steps.MarkTrusted: lambda j, s, now, _: j.moved(s.name, IssuerState.TRUSTED, now=now),
    steps.Activate: lambda j, s, now, _: j.activated(s.name, now=now, cut=s.cut),
    steps.MarkDrained: lambda j, s, now, _: j.moved(s.name, IssuerState.DRAINED, now=now),
    steps.Kick: lambda j, s, _now, _: j.with_kicked(s.name),
    steps.Retire: lambda j, s, now, _: j.retired(s.name, now=now),
    steps.GoBack: lambda j, s, now, p: j.went_back(
        s.name, now=now, epoch=p.ca.current(now).number, fenced=s.fenced
    ),
    steps.Unfence: lambda j, s, _now, _: j.unfenced(s.servers),
    steps.Silence: lambda j, s, _now, _: j.silenced(s.name),
    steps.Withdraw: lambda j, s, now, _: j.withdrawn(s.name, now=now),
    steps.Remove: lambda j, s, _now, _: j.removed(s.name),
    root_steps.PlanRoot: lambda j, _s, now, _: j.with_roots(j.roots.planned(now=now)),
    root_steps.MakeRoot: lambda j, s, now, p: _root_staged(j, s.name, now, p),
    root_steps.UseRoot: lambda j, s, now, _: j.with_roots(j.roots.activated(s.name, now=now)),
    root_steps.RetireRoot: lambda j, s, now, _: _root_retired(j, s.name, now),
    root_steps.RemoveRoot: lambda j, s, _now, _: j.with_roots(j.roots.removed(s.name)),
}
