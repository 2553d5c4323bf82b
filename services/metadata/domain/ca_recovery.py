"""What to do next when an issuer failed or is distrusted; parts of `ca_rotation.plan`."""

from datetime import datetime, timedelta
from typing import Final

from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import USED_BEFORE, Issuer, IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.rotation_steps import (
    Activate,
    GoBack,
    Hold,
    Mint,
    Plan,
    Retire,
    Silence,
    Step,
    Unfence,
    Withdraw,
)
from svc_core.domain.profiles import RotationProfile

MOST_TRUSTED: Final = 5
"""Most issuers in the trusted set at a time."""
BARRIER: Final = timedelta(seconds=3)
"""How long flight from a tainted issuer waits for anybody."""


def make(planned: Issuer, now: datetime, profile: RotationProfile) -> Step:
    """Make it; one that could not be made for a whole period is given up for the next epoch's."""
    if now - planned.since >= profile.ca.period:
        return Withdraw(planned.name)
    return Mint(planned.name)


def make_room(journal: Journal) -> Step | None:
    """Return who leaves the full trusted set, whoever uses it: the oldest, drained ones first."""
    if len(journal.trusted) < MOST_TRUSTED:
        return None
    others = [i for i in reversed(journal.trusted) if i.state is not IssuerState.ACTIVE]
    oldest = next((i for i in others if i.state is IssuerState.DRAINED), others[0])
    if oldest.state in USED_BEFORE:
        return Retire(oldest.name)
    return Withdraw(oldest.name)


def flee(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    """Leave the active issuer, which is tainted: it signs nothing from now on, and is replaced.

    Nobody is waited for longer than three seconds: who stays behind loses its connection, and
    comes back with a leaf of the new issuer.
    """
    active, successor = journal.active, journal.successor
    if active is not None and not active.is_silenced:
        return Silence(active.name)
    if successor is not None and successor.not_after is not None:
        silent = fleet.silent_below(successor.version)
        if silent and now - successor.since < BARRIER:
            return Hold(f"{successor.name} is not trusted yet by: {', '.join(silent)}")
    return replace_at_once(journal, now, profile)


def replace_at_once(journal: Journal, now: datetime, profile: RotationProfile) -> Step:
    """Make a successor and let it sign without asking anybody."""
    successor = journal.successor
    if successor is None:
        present = profile.ca.current(now).number
        return make_room(journal) or Plan(max(present, journal.highest_epoch))
    if successor.state is IssuerState.PLANNED:
        return make(successor, now, profile)
    if successor.is_expired(now):
        return Withdraw(successor.name)
    return Activate(successor.name, proven=False)


def end_tainted(
    journal: Journal, fleet: Fleet, now: datetime, _profile: RotationProfile
) -> Step | Hold | None:
    """Withdraw what is tainted and not active: once nobody uses it, or after three seconds."""
    held: Hold | None = None
    for issuer in journal.in_state(IssuerState.TAINTED):
        if not issuer.is_silenced:
            return Silence(issuer.name)
        users = fleet.users_of(issuer.name)
        if not users or now - issuer.since >= BARRIER:
            return Withdraw(issuer.name)
        held = held or Hold(f"{issuer.name} is tainted and still used by: {', '.join(users)}")
    return held


def go_back(
    journal: Journal, fleet: Fleet, now: datetime, profile: RotationProfile
) -> Step | Hold | None:
    """Go back to the predecessor when servers failed to follow the activation.

    At once when Watcher has judged that one failed; after a quarter of a period when one still
    says that it cannot. A Watcher that was away begins with errors that mend themselves, so it has
    that long from its return. Only while the rotation is under way, and once: what is wrong with a
    server that refuses two issuers in a row is not the issuer. Who failed is fenced.
    """
    active = journal.active
    if active is None or journal.is_back or active.is_tainted:
        return None
    is_under_way = any(i.rank < active.rank for i in journal.in_state(IssuerState.DRAINING))
    if not is_under_way:
        return None
    is_over = min(now - active.since, fleet.watched_for) >= profile.drain_budget
    late = fleet.late_servers(active.version)
    failed = [s for s in late if is_over or s.failed_at >= active.version]
    target = journal.way_back(now, life=profile.leaf_ttl)
    if not failed or target is None:
        return None
    reason = "; ".join(f"server {server.name}: {server.error}" for server in failed)
    return GoBack(target.name, reason, tuple(server.name for server in failed))


def lift_fences(
    journal: Journal, fleet: Fleet, _now: datetime, _profile: RotationProfile
) -> Step | Hold | None:
    """Let a fenced server in once it runs with what is wanted, or is no server any more."""
    active = journal.active
    if active is None or not journal.fenced or not fleet.servers:
        return None
    out = {s.name for s in fleet.servers if s.error or s.version < active.version}
    back = tuple(name for name in journal.fenced if name not in out)
    return Unfence(back) if back else None
