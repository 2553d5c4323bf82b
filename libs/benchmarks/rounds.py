"""Who measures when, and what the slices say together.

The speed of a shared machine wanders over seconds. So no case is measured in one piece: in every
repeat all cases take turns in short slices, and a ratio is formed within a repeat, from slices
that lay side by side.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.spread import Spread


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each case is measured, how often, and in which pieces."""

    seconds: float
    """Per case and repeat."""
    repeats: int
    slice_s: float
    """Longest slice; the last word has the operation, which is never cut short."""

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.slice_s <= 0 or self.repeats < 1:
            raise ValueError("a benchmark needs time, slices and at least one repeat")

    @property
    def slices(self) -> int:
        """How many slices a case has in one repeat."""
        return max(1, math.ceil(self.seconds / self.slice_s - 1e-9))

    @property
    def slice_seconds(self) -> float:
        """How long one slice is."""
        return self.seconds / self.slices


@dataclass(frozen=True, slots=True)
class Turn:
    """One slice of one case."""

    repeat: int
    case: str


def turns(plan: Plan, cases: Sequence[str]) -> Iterator[Turn]:
    """Yield the slices of a run in order: every case once, again and again."""
    for repeat in range(plan.repeats):
        for _ in range(plan.slices):
            for case in cases:
                yield Turn(repeat, case)


@dataclass(slots=True)
class Slice:
    """What was done, and in what time; adds up."""

    count: int = 0
    timed_s: float = 0.0
    """What rates are counted by: wall or processor time, as suits the case."""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Processor time of the whole process, of all its threads."""

    def add(self, other: "Slice") -> None:
        """Take ``other`` in."""
        self.count += other.count
        self.timed_s += other.timed_s
        self.wall_s += other.wall_s
        self.cpu_s += other.cpu_s

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.count / self.timed_s

    @property
    def busy(self) -> float:
        """How many processors were kept busy; below what there were, something else had them."""
        return self.cpu_s / self.wall_s

    def by_cpu(self) -> "Slice":
        """Return the same counted by processor time, which others on the machine do not use up."""
        return Slice(self.count, self.cpu_s, self.wall_s, self.cpu_s)


def together(slices: Sequence[Slice]) -> Slice:
    """Return what was done at the same time in several places.

    Times of the clock are the mean of theirs, so that the rate is the sum of rates that are alike.
    """
    return Slice(
        count=sum(piece.count for piece in slices),
        timed_s=sum(piece.timed_s for piece in slices) / len(slices),
        wall_s=sum(piece.wall_s for piece in slices) / len(slices),
        cpu_s=sum(piece.cpu_s for piece in slices),
    )


@dataclass(slots=True)
class Samples:
    """All slices of one run, added up per case and repeat."""

    _by_case: dict[str, dict[int, Slice]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Slice))
    )

    def add(self, turn: Turn, measured: Slice) -> None:
        """Take one slice in."""
        self._by_case[turn.case][turn.repeat].add(measured)

    def rates(self, case: str) -> list[float]:
        """Return operations per second of ``case``, one value per repeat.

        Raises:
            KeyError: ``case`` was not measured.
        """
        if case not in self._by_case:
            raise KeyError(case)
        repeats = self._by_case[case]
        return [repeats[repeat].rate for repeat in sorted(repeats)]

    def busy(self, case: str) -> Spread:
        """Return how many processors ``case`` kept busy."""
        return Spread.of([piece.busy for piece in self._by_case[case].values()])

    def rate(self, case: str) -> Spread:
        """Return operations per second of ``case``."""
        return Spread.of(self.rates(case))

    def ratio(self, case: str, base: str) -> Spread:
        """Return the rate of ``case`` in multiples of that of ``base``, repeat by repeat."""
        pairs = zip(self.rates(case), self.rates(base), strict=True)
        return Spread.of([rate / base_rate for rate, base_rate in pairs])

    def ratio_to_sum(self, case: str, parts: Sequence[str]) -> Spread:
        """Return the rate of ``case`` in multiples of that of doing each of ``parts`` in turn.

        Above 1: it is faster than the sum of its parts.
        """
        by_repeat = zip(self.rates(case), *map(self.rates, parts), strict=True)
        return Spread.of([rate * sum(1 / part for part in rest) for rate, *rest in by_repeat])

    def round_trip_share(self, cases: tuple[str, str], floor: tuple[str, str]) -> Spread:
        """Return how much of the time of one of each of ``cases`` one of each of ``floor`` takes.

        With seal and open against bare sign and verify: 1 if all but these two cost nothing.
        """
        shares = []
        rates = zip(*(self.rates(name) for name in (*floor, *cases)), strict=True)
        for first, second, third, fourth in rates:
            shares.append((1 / first + 1 / second) / (1 / third + 1 / fourth))
        return Spread.of(shares)
