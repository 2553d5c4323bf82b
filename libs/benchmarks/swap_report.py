"""What ``bench swap`` found, as values, and what was promised."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.machine import Machine
from benchmarks.report import Percentiles, Target, rounded
from benchmarks.spread import Spread
from benchmarks.swap_flow import Window
from benchmarks.swap_place import Way

GAP_RATIO: Final = 1.5
GAP_MS: Final = 250.0
P99_RATIO: Final = 1.2


@dataclass(frozen=True, slots=True)
class SwapPlan:
    """How often, how fast and how long."""

    swaps: int
    rate: float
    """Messages per second."""
    window_s: float
    """Least length of a window; one with a swap ends when the swap has."""
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """All windows of one kind, those with a swap or those without."""

    windows: int
    gap: Spread
    """Longest gap of each window between two messages handled, milliseconds."""
    ack_gap: Spread
    """The same between two acknowledgements."""
    latency: Percentiles | None
    """From due to handled, over all messages of all windows."""

    @classmethod
    def of(cls, windows: Sequence[Window], latency: Percentiles | None) -> "Side":
        """Return what ``windows``, at least one, say together."""
        return cls(
            len(windows),
            Spread.of([window.gap_ms for window in windows]),
            Spread.of([window.ack_gap_ms for window in windows]),
            latency,
        )


@dataclass(frozen=True, slots=True)
class WayFigure:
    """One way of moving, with and without moves in the same run."""

    way: Way
    sent: int
    lost: int
    """Acknowledged, and handled by nobody."""
    doubled: int
    """Stored twice, and so handled twice."""
    redelivered: int
    """Handled again because the broker did not hear that it was done."""
    failed: int
    """Given up by who published them."""
    repeated: int
    """Attempts beyond a message's first."""
    move_ms: Spread
    """How long both connections took to move, one after the other."""
    swapped: Side
    quiet: Side

    @property
    def gap_ratio(self) -> float:
        """The median of the longest gaps, in multiples of that without a swap."""
        return self.swapped.gap.median / self.quiet.gap.median

    @property
    def p99_ratio(self) -> float | None:
        """The 99th percentile of the latency, in multiples of that without a swap."""
        if self.swapped.latency is None or self.quiet.latency is None:
            return None
        return self.swapped.latency.p99 / self.quiet.latency.p99


@dataclass(frozen=True, slots=True)
class SwapReport:
    """One run."""

    machine: Machine
    versions: dict[str, str]
    plan: SwapPlan
    ways: tuple[WayFigure, ...]
    targets: tuple[Target, ...]

    def as_document(self) -> dict[str, Any]:
        """Return everything as values of JSON; numbers have four decimals."""
        document: dict[str, Any] = rounded({"benchmark": "swap", **asdict(self)})
        for figure, entry in zip(self.ways, document["ways"], strict=True):
            entry["gap_ratio"] = rounded(figure.gap_ratio)
            entry["p99_ratio"] = rounded(figure.p99_ratio)
        return document


def way_figure(way: Way, answer: dict[str, Any], moves_s: Sequence[float]) -> WayFigure:
    """Return what a measuring process answered, as a figure."""
    windows = [Window(**window) for window in answer["windows"]]
    return WayFigure(
        way=way,
        sent=answer["sent"],
        lost=answer["lost"],
        doubled=answer["doubled"],
        redelivered=answer["redelivered"],
        failed=answer["failed"],
        repeated=answer["repeated"],
        move_ms=Spread.of([seconds * 1000 for seconds in moves_s]),
        swapped=Side.of([w for w in windows if w.is_swap], _percentiles(answer["swapped"])),
        quiet=Side.of([w for w in windows if not w.is_swap], _percentiles(answer["quiet"])),
    )


def judge(figure: WayFigure) -> tuple[Target, ...]:
    """Return what was promised of a swap and whether ``figure`` keeps it."""
    gaps = figure.swapped.gap
    ratio = figure.p99_ratio
    kept = figure.lost == 0 and figure.failed == 0
    return (
        Target("messages lost or given up", "0", str(figure.lost + figure.failed), kept),
        Target("messages stored twice", "0", str(figure.doubled), figure.doubled == 0),
        Target(
            "median of the windows' longest gaps, times that without a swap",
            f"<= {GAP_RATIO:g}",
            f"{figure.gap_ratio:.2f} ({gaps.median:.1f} ms of {figure.quiet.gap.median:.1f} ms)",
            figure.gap_ratio <= GAP_RATIO,
        ),
        Target(
            "longest gap of any window with a swap",
            f"<= {GAP_MS:g} ms",
            f"{gaps.most:.1f} ms",
            gaps.most <= GAP_MS,
        ),
        Target(
            "p99 latency, times that without a swap",
            f"<= {P99_RATIO:g}",
            "nothing came through" if ratio is None else f"{ratio:.2f}",
            ratio is not None and ratio <= P99_RATIO,
        ),
    )


def noise(figure: WayFigure) -> str:
    """Return how far windows of one kind differ among themselves, for a reader's judgement."""
    quiet = figure.quiet.gap
    return (
        f"without a swap the longest gap of a window was {quiet.p10:.1f} to {quiet.p90:.1f} ms"
        f" (10th to 90th percentile), once {quiet.most:.1f} ms"
    )


def _percentiles(found: dict[str, float] | None) -> Percentiles | None:
    return None if found is None else Percentiles(**found)
