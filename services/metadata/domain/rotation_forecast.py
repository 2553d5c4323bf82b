"""What the plan will ask for, step by step, if everybody follows: the plan itself, run ahead.

Nothing is decided here. The same pure plan is asked again and again, each answer is applied to a
journal in memory, and between answers the clock moves on to when the plan can next change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.metadata.domain import rotation_steps as steps
from services.metadata.domain.ca_rotation import SilencePolicy, next_deadline, plan
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.rotation_steps import Hold, Step
from svc_core.domain.epochs import UNIX_EPOCH
from svc_core.domain.identity import WATCHER, InstanceName
from svc_core.domain.profiles import RotationProfile
from svc_core.domain.status import InstanceStatus, ServerStatus

_MOST_STEPS: Final = 40
_NOBODY: Final = "nobody"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """One step that the plan will ask for."""

    at: datetime
    """When, if everybody follows at once."""
    step: str
    """Its name, such as ``Activate``."""
    subject: str
    """Name of an issuer, or of servers."""
    effect: str
    """What it does, for a person."""


def forecast(
    journal: Journal,
    fleet: Fleet,
    now: datetime,
    profile: RotationProfile,
    policy: SilencePolicy = SilencePolicy.QUORUM,
) -> tuple[Foreseen, ...]:
    """Return the steps of the next period, in order, as far as they can be foreseen.

    Args:
        journal: as it is.
        fleet: who is live; each is taken to follow at once.
        now: aware, UTC.
        profile: of the deployment.
        policy: what happens when somebody is silent.
    """
    until, moment, found = now + profile.ca.period, now, list[Foreseen]()
    while moment <= until and len(found) < _MOST_STEPS:
        step = plan(journal, _following(fleet, journal), moment, profile, policy)
        if step is None or isinstance(step, Hold):
            moment = next_deadline(journal, moment, profile)
            continue
        after = applied(journal, step, now=moment, profile=profile)
        found.append(_foreseen(step, journal, after, moment))
        journal = after
    return tuple(found)


def applied(journal: Journal, step: Step, *, now: datetime, profile: RotationProfile) -> Journal:
    """Return the journal after ``step``, as far as it can be known without OpenBao.

    Raises:
        ProtocolOrderError: the step is not legal in ``journal``.
    """
    return _APPLIERS[type(step)](journal, step, now, profile)


def _foreseen(step: Step, before: Journal, after: Journal, moment: datetime) -> Foreseen:
    active = before.active.name if before.active is not None else _NOBODY
    match step:
        case steps.Plan(epoch):
            subject = after.issuers[-1].name
            effect = f"the attempt to make an issuer for epoch {epoch} is journalled"
        case steps.Unfence(servers):
            subject, effect = ", ".join(servers), _EFFECTS[steps.Unfence]
        case _:
            subject, effect = step.name, _EFFECTS[type(step)]
    text = effect.format(version=after.version, active=active)
    return Foreseen(moment, type(step).__name__, subject, text)


_EFFECTS: Final[Mapping[type[Step], str]] = {
    steps.Mint: "made in OpenBao, both halves; version {version} has everybody trust it",
    steps.MarkTrusted: "every live party has acknowledged that it trusts it",
    steps.Activate: "version {version} has it sign leaves instead of {active}: server certificates "
    "first, then every client moves",
    steps.MarkDrained: "no live connection uses it any more",
    steps.Kick: "version {version} has the remaining connections cut",
    steps.Retire: "version {version} takes it out of the trusted set; every server reloads",
    steps.GoBack: "version {version} has it sign again instead of {active}, which failed",
    steps.Unfence: "verified again: version {version} lets them in",
    steps.Silence: "OpenBao signs nothing with it any more",
    steps.Withdraw: "version {version} takes it out of the trusted set before its time",
    steps.Remove: "issuer and key are deleted in OpenBao",
}


def _following(fleet: Fleet, journal: Journal) -> Fleet:
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


_Apply = Callable[[Journal, Any, datetime, RotationProfile], Journal]
_APPLIERS: Final[Mapping[type[Step], _Apply]] = {
    steps.Plan: lambda j, s, now, _: j.planned(s.epoch, now=now),
    steps.Mint: lambda j, s, now, p: j.staged(
        s.name, pem="", route_pem="", not_after=now + p.ca.validity, now=now
    ),
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
}
