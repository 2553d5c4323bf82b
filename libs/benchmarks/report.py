"""What a benchmark found, as values: for a table and, with the same names, as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.machine import Machine
from benchmarks.rounds import Plan
from benchmarks.spread import Spread, percentile

_DIGITS: Final = 4
_US_PER_S: Final = 1e6


@dataclass(frozen=True, slots=True)
class Figure:
    """How fast one thing is, and in comparison."""

    name: str
    where: str
    """The provider, or the processors and processes it had."""
    rate: Spread
    """Per second."""
    to_base: Spread | None = None
    """The rate in multiples of the base's, slices side by side; None for a base itself."""
    base: str = ""
    cost: Spread | None = None
    """The time of one in times of the reference operation."""
    busy: Spread | None = None
    """How many processors it kept busy."""

    @property
    def each_us(self) -> float:
        """Microseconds of one, from the median rate."""
        return _US_PER_S / self.rate.median


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of all samples of one kind, in milliseconds."""

    p50: float
    p99: float
    p999: float
    most: float

    @classmethod
    def of(cls, samples_ms: Sequence[float]) -> "Percentiles | None":
        """Return those of ``samples_ms``; None when there are none."""
        if not samples_ms:
            return None
        return cls(
            percentile(samples_ms, 0.5),
            percentile(samples_ms, 0.99),
            percentile(samples_ms, 0.999),
            max(samples_ms),
        )


@dataclass(frozen=True, slots=True)
class LoadFigure:
    """What became of one offered rate."""

    name: str
    offered: float
    """Messages per second, the median over the repeats."""
    done: float
    """Messages per second that came through, over all repeats."""
    refused: int
    peak: int
    """Most messages under way at one time."""
    latency: Percentiles | None
    """From the instant a message was due; None when all were refused."""
    p99: Spread | None
    """The 99th percentile of each repeat by itself."""
    lag: Percentiles | None
    """How late the event loop ran meanwhile."""
    lag_p999: Spread | None
    """The 99.9th percentile of each repeat by itself."""


@dataclass(frozen=True, slots=True)
class Target:
    """What was promised, and what was found."""

    claim: str
    wanted: str
    measured: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class BenchReport:
    """One run of one benchmark."""

    benchmark: str
    machine: Machine
    versions: dict[str, str]
    plan: Plan
    settings: dict[str, str]
    figures: tuple[Figure, ...]
    loads: tuple[LoadFigure, ...] = ()
    loads_title: str = "Latency in ms of sealing in batches, from the instant a message was due"
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """Return everything as values of JSON; numbers have four decimals."""
        return {name: rounded(value) for name, value in asdict(self).items()}


def rounded(value: object) -> Any:  # noqa: ANN401 (any value of JSON)
    """Return ``value`` with all numbers in it at four decimals; mappings and lists stay such."""
    match value:
        case float():
            return round(value, _DIGITS)
        case dict():
            return {key: rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [rounded(item) for item in value]
        case _:
            return value
