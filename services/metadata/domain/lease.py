"""Who may act: the lease in the journal, judged by each replica's own clock that never steps.

The lease is a field of the journal, so a write under a lease that somebody else took fails by
itself. Nothing here reads a wall clock, and no two clocks are compared: a replica sees the lease
move or not, and how long that has been.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from services.metadata.domain.journal import Journal, Lease
from svc_core.domain.profiles import RotationProfile

_SHORTEST_PATIENCE: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How often the holder moves the lease, and how long others watch it stand still."""

    beat: timedelta
    patience: timedelta

    @classmethod
    def of(cls, profile: RotationProfile) -> "LeaseTimes":
        """Return the times of ``profile``: a heartbeat, and three of them or 5 s."""
        return cls(profile.heartbeat, max(profile.liveness, _SHORTEST_PATIENCE))


@dataclass(slots=True)
class LeaseView:
    """What one process knows of the lease; times in seconds of its own monotonic clock."""

    holder: str
    """This process's name in the lease."""
    times: LeaseTimes
    term: int | None = None
    """The term this process held last; None when it never held any."""
    _seen: Lease | None = None
    _seen_at: float = 0.0
    _proved_at: float = 0.0

    def is_mine(self, journal: Journal) -> bool:
        """Say whether ``journal`` is held by this very process, not by one of the same name."""
        return (journal.lease.holder, journal.lease.term) == (self.holder, self.term)

    def is_doubtful(self, now: float) -> bool:
        """Say whether this process was away so long that somebody else may hold the lease."""
        return now - self._proved_at >= self.times.patience.total_seconds()

    def is_beat_due(self, now: float) -> bool:
        """Say whether the holder has written nothing for a heartbeat."""
        return now - self._proved_at >= self.times.beat.total_seconds()

    def proved(self, lease: Lease, now: float) -> None:
        """Note that a write under ``lease``, begun at ``now``, has just been accepted."""
        self.term, self._proved_at = lease.term, now

    def may_take(self, journal: Journal, now: float) -> bool:
        """Say whether this process may take the lease that was read at ``now``.

        At once when nobody has it, or when this process just started under the name that has it;
        else when it has not moved for the patience, counted from when that was first seen.
        """
        lease = journal.lease
        if lease != self._seen:
            self._seen, self._seen_at = lease, now
        is_own_former = lease.holder == self.holder and self.term is None
        has_stood_still = now - self._seen_at >= self.times.patience.total_seconds()
        return not lease.holder or is_own_former or has_stood_still

    def taken(self, journal: Journal) -> Journal:
        """Return ``journal`` under the next term, held by this process."""
        lease = Lease(self.holder, journal.lease.term + 1, journal.lease.beat)
        return journal.held_by(lease)


def beaten(journal: Journal) -> Journal:
    """Return ``journal`` with the lease moved: every write is one."""
    return journal.held_by(replace(journal.lease, beat=journal.lease.beat + 1))
