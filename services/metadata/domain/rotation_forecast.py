"""What the plan will ask for in the next period, step by step, in words for a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from services.metadata.domain import root_rotation as root_steps
from services.metadata.domain import rotation_steps as steps
from services.metadata.domain.ca_rotation import SilencePolicy
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.journal import Journal
from services.metadata.domain.steps_ahead import AnyStep, Taken, steps_ahead
from svc_core.domain.desired import TrustMode
from svc_core.domain.profiles import RotationProfile

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
    """Name of an issuer or a root, or of servers."""
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
    ahead = steps_ahead(journal, fleet, now, profile, policy, until=now + profile.ca.period)
    return tuple(foreseen(taken) for taken in islice(ahead, _MOST_STEPS))


def foreseen(taken: Taken) -> Foreseen:
    """Return one step in words."""
    step, before, after = taken.step, taken.before, taken.after
    active = before.active.name if before.active is not None else _NOBODY
    signing = before.roots.signing.name if before.roots.signing is not None else _NOBODY
    effect = _EFFECTS[type(step)]
    match step:
        case steps.Plan():
            subject = after.issuers[-1].name
        case steps.Unfence(servers):
            subject = ", ".join(servers)
        case root_steps.PlanRoot():
            subject = after.roots.known[-1].name
        case root_steps.UseRoot(name):
            subject, effect = name, _USE[before.trust_mode]
        case _:
            subject = step.name
    epoch = step.epoch if isinstance(step, steps.Plan) else 0
    text = effect.format(version=after.version, active=active, signing=signing, epoch=epoch)
    return Foreseen(taken.at, type(step).__name__, subject, text)


_USE: Final = {
    TrustMode.INTERMEDIATES: "signs intermediates from now on instead of {signing}; nobody is "
    "asked, since nobody trusts a root alone",
    TrustMode.CHAIN: "every live party has acknowledged that it trusts it: signs intermediates "
    "from now on instead of {signing}",
}
_EFFECTS: Final[Mapping[type[AnyStep], str]] = {
    steps.Plan: "the attempt to make an issuer for epoch {epoch} is journalled",
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
    # Without versions: how many there are until a root's time comes nobody knows.
    root_steps.PlanRoot: "the attempt to make another root is journalled",
    root_steps.MakeRoot: "made in OpenBao, and trusted beside {signing}",
    root_steps.UseRoot: _USE[TrustMode.INTERMEDIATES],
    root_steps.RetireRoot: "no intermediate of it is trusted any more: out of the trusted set",
    root_steps.RemoveRoot: "certificate and key are deleted in OpenBao",
}
