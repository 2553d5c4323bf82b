"""What an operator asks about the CA: where it is, who has followed, what is next and when.

JSON-shaped, and nothing in it is secret. It says what the journal and the signed statuses say; it
decides nothing and nobody acts on it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.metadata.domain.ca_rotation import SilencePolicy
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import Issuer, IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.root_forecast import forecast_roots
from services.metadata.domain.root_rotation import order_refusal
from services.metadata.domain.rotation_forecast import Foreseen, forecast
from svc_core.domain.profiles import RotationProfile

FORMAT: Final = "outlook/1"
Outlook = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Sight:
    """What the authority sees at one moment."""

    journal: Journal
    fleet: Fleet
    held: str
    """Why it waits; empty when it does not."""
    now: datetime


def prospects(sight: Sight, profile: RotationProfile, policy: SilencePolicy) -> Outlook:
    """Return what is foreseen; takes tens of milliseconds, so not for an event loop.

    ``foreseen`` is what happens by itself, ``if_ordered`` what ``rotate ca`` would bring forward;
    ``roots_foreseen`` and ``if_root_ordered`` say the same of the change of root that is under way,
    or else of the next one, and of ``rotate root``. All take everybody to follow at once.
    """
    journal, fleet, now = sight.journal, sight.fleet, sight.now
    ordered = forecast(journal.hurried(), fleet, now, profile, policy) if journal.active else ()
    refusal = order_refusal(journal)
    other = journal if refusal else journal.with_roots(journal.roots.ordered())
    return {
        "foreseen": _told(forecast(journal, fleet, now, profile, policy)),
        "if_ordered": _told(ordered),
        "roots_foreseen": _told(forecast_roots(journal, fleet, now, profile, policy)),
        "if_root_ordered": _told(forecast_roots(other, fleet, now, profile, policy)),
        "root_order_refused": refusal,
    }


def situation(sight: Sight, profile: RotationProfile, policy: SilencePolicy) -> Outlook:
    """Return how things are; ``acknowledged`` is whether the newest version was."""
    journal, fleet = sight.journal, sight.fleet
    return {
        "format": FORMAT,
        "profile": profile.name,
        "phase": phase_of(journal),
        "version": journal.version,
        "active": _name(journal.active),
        "successor": _name(journal.successor),
        "held": sight.held,
        "when_silent": policy.value,
        "issuers": [_issuer(i) for i in journal.issuers],
        "setback": _setback(journal),
        "trust_mode": journal.trust_mode.value,
        "roots": [{"name": r.name, "state": r.state.value} for r in journal.roots.known],
        "fenced": list(journal.fenced),
        "consumers": [
            {
                "name": f"{s.service}/{s.instance}",
                "version": s.version,
                "acknowledged": s.version >= journal.version,
                "issuer": s.issuer,
                "key_epoch": s.key_epoch,
            }
            for s in sorted(fleet.live, key=lambda s: (s.service, s.instance))
        ],
        "servers": [
            {
                "name": s.name,
                "version": s.version,
                "acknowledged": s.version >= journal.version and not s.error,
                "issuer": s.issuer,
                "error": s.error,
                "failed": bool(s.failed_at),
            }
            for s in fleet.servers
        ],
    }


def phase_of(journal: Journal) -> str:
    """Return in a few words what the rotation is doing."""
    active, successor = journal.active, journal.successor
    if active is None:
        return "making the first issuer"
    if active.is_tainted:
        return f"leaving {active.name}, which is tainted"
    if successor is not None:
        return {
            IssuerState.PLANNED: f"making {successor.name}",
            IssuerState.STAGED: f"spreading trust in {successor.name}",
        }.get(successor.state, f"{successor.name} waits for its time")
    if journal.is_hurried:
        return "about to rotate, as ordered"
    if draining := journal.in_state(IssuerState.DRAINING):
        moving = "going back" if journal.is_back else "moving"
        return f"{moving} from {draining[-1].name} to {active.name}"
    return f"resting on {active.name}"


def _issuer(issuer: Issuer) -> Mapping[str, object]:
    return {
        "name": issuer.name,
        "state": issuer.state.value,
        "since": issuer.since.isoformat(),
        "not_after": issuer.not_after.isoformat() if issuer.not_after else None,
        "tainted": issuer.is_tainted,
        "root": issuer.root,
    }


def _setback(journal: Journal) -> Mapping[str, int] | None:
    setback = journal.setback
    if not setback.count:
        return None
    return {"count": setback.count, "failed_epoch": setback.epoch, "resume_epoch": setback.resume}


def _told(steps: Iterable[Foreseen]) -> list[Mapping[str, str]]:
    return [
        {"at": f.at.isoformat(), "step": f.step, "subject": f.subject, "effect": f.effect}
        for f in steps
    ]


def _name(issuer: Issuer | None) -> str:
    return issuer.name if issuer is not None else ""
