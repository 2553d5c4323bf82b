"""The verdict on one run: computed from what was written down, never from what was meant.

Lost and duplicated are counted by id. Latency counts from when a request was due, so that queueing
shows. Gaps are between consecutive answers while load was on, its edges included.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from svc_core.domain.epochs import Epoch, EpochSchedule
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.profiles import RotationProfile
from svc_core.domain.timing import (
    SwapWindow,
    answer_line,
    longest_gap_during_ms,
    longest_gap_ms,
    quantiles,
)
from svc_core.domain.traffic import Traffic

LEAST_SENT: Final = 0.95
"""Share of the offered requests that must have been sent."""


@dataclass(frozen=True, slots=True)
class RotationFacts:
    """What the services' logs say about rotations."""

    completed_ca_epochs: frozenset[int]
    swaps: tuple[SwapWindow, ...]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Under what the run was made."""

    profile: RotationProfile
    versions: Mapping[str, str]
    restarts: int = 0
    """Deaths of children during the run, servers included."""
    damaged_lines: int = 0
    """Journal lines that could not be read."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run proved; times in milliseconds unless the name says else."""

    ca_rotations: int
    """Planned CA rotations that were completed."""
    key_rotations: int
    """Planned key rotations after which messages under the new keys were answered."""
    sent: int
    received: int
    answered: int
    redelivered: int
    lost: int
    duplicated: int
    rejected: int
    latency_ms: Mapping[str, float | None]
    longest_gap_ms: float
    longest_gap_during_swap_ms: float | None
    """None when nobody swapped."""
    duration_s: float
    planned_ca_rotations: int
    planned_key_rotations: int
    versions: Mapping[str, str]
    profile: str
    rate: float
    offered: int
    """Requests due in the run."""
    skipped: int
    in_doubt: int
    """Requests whose sender died or gave up while publishing; not lost: nobody confirmed them."""
    unasked: int
    """Answers to requests that nobody noted to have sent."""
    swaps: int
    boots: int
    restarts: int
    damaged_lines: int
    rejected_codes: Mapping[str, int]
    run_id: str

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the run did not prove what it should, in plain words; empty when it did."""
        claims = (
            (self.lost, f"{self.lost} acknowledged messages were lost"),
            (self.duplicated, f"{self.duplicated} messages had their effect more than once"),
            (self.unasked, f"{self.unasked} answers came to requests that were never sent"),
            (self.damaged_lines, f"{self.damaged_lines} journal lines cannot be read"),
            (not self.answered, "no request was answered"),
            (
                self.sent < LEAST_SENT * self.offered,
                f"only {self.sent} of {self.offered} requests were sent",
            ),
            (
                self.ca_rotations < self.planned_ca_rotations,
                _incomplete("CA", self.ca_rotations, self.planned_ca_rotations),
            ),
            (
                self.key_rotations < self.planned_key_rotations,
                _incomplete("key", self.key_rotations, self.planned_key_rotations),
            ),
        )
        return tuple(reason for is_true, reason in claims if is_true)

    def as_document(self) -> dict[str, object]:
        """Return the verdict as JSON-shaped data, with its reasons."""
        return asdict(self) | {"good": self.is_good, "reasons": list(self.reasons)}

    @property
    def is_good(self) -> bool:
        """Whether nothing speaks against the run."""
        return not self.reasons


def boundaries(schedule: EpochSchedule, began: datetime, ended: datetime) -> tuple[int, ...]:
    """Return the epochs that begin at or after ``began`` and before ``ended``."""
    epoch = schedule.current(began)
    if schedule.starts(epoch) < began:
        epoch = epoch.next()
    found: list[int] = []
    while schedule.starts(epoch) < ended:
        found.append(epoch.number)
        epoch = epoch.next()
    return tuple(found)


def planned_ca_epochs(order: LoadOrder, profile: RotationProfile) -> tuple[int, ...]:
    """Return the CA epochs that begin while ``order``'s load is on."""
    return boundaries(profile.ca, order.starts_at, order.ends_at)


def planned_key_epochs(order: LoadOrder, profile: RotationProfile) -> tuple[int, ...]:
    """Return the key epochs that begin while load is on and in which a request is due."""
    epochs = boundaries(profile.keys, order.starts_at, order.ends_at)
    if not epochs:
        return ()
    last_due = order.due_at(order.total - 1)
    return tuple(e for e in epochs if profile.keys.starts(Epoch(e)) <= last_due)


def judge(
    traffic: Traffic,
    rotations: RotationFacts,
    order: LoadOrder,
    circumstances: Circumstances,
) -> Verdict:
    """Return the verdict on the run that ``order`` asked for."""
    profile = circumstances.profile
    ca_epochs = planned_ca_epochs(order, profile)
    key_epochs = planned_key_epochs(order, profile)
    swaps = [w for w in rotations.swaps if w.overlaps(order)]
    answers = answer_line(traffic.answered_at.values(), order)
    return Verdict(
        ca_rotations=len(rotations.completed_ca_epochs.intersection(ca_epochs)),
        key_rotations=len(traffic.answer_epochs.intersection(key_epochs)),
        sent=len(traffic.due),
        received=len(traffic.handled),
        answered=len(traffic.answered),
        redelivered=traffic.redelivered,
        lost=len(traffic.lost),
        duplicated=len(traffic.duplicated),
        rejected=sum(traffic.rejected.values()),
        latency_ms=quantiles(traffic.latencies_ms),
        longest_gap_ms=longest_gap_ms(answers),
        longest_gap_during_swap_ms=longest_gap_during_ms(answers, swaps),
        duration_s=(order.ends_at - order.starts_at).total_seconds(),
        planned_ca_rotations=len(ca_epochs),
        planned_key_rotations=len(key_epochs),
        versions=circumstances.versions,
        profile=profile.name,
        rate=order.rate,
        offered=order.total,
        skipped=traffic.skipped,
        in_doubt=len(traffic.in_doubt),
        unasked=len(traffic.unasked),
        swaps=len(swaps),
        boots=traffic.boots,
        restarts=circumstances.restarts,
        damaged_lines=circumstances.damaged_lines,
        rejected_codes=traffic.rejected,
        run_id=order.run_id,
    )


def _incomplete(what: str, done: int, planned: int) -> str:
    return f"only {done} of {planned} planned {what} rotations were completed"
