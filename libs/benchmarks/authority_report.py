"""What ``bench authority`` found, as values, and what was promised."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.authority_order import IDLE, ISSUE
from benchmarks.machine import Machine
from benchmarks.report import Percentiles, Target, rounded
from benchmarks.spread import Spread

ISSUE_MS: Final = 1000.0
TURN_MS: Final = 5.0


@dataclass(frozen=True, slots=True)
class StepFigure:
    """One thing the authority does in an epoch."""

    step: str
    count: int
    """How often it was done in a repeat."""
    each: Percentiles
    """Milliseconds of one, over all repeats."""
    median: Spread
    """Milliseconds of one: the median of each repeat."""
    cpu: Spread
    """Milliseconds of processor time of one, of all threads of the process."""
    turn: Spread
    """The longest turn of the event loop of each repeat, milliseconds of processor time."""
    lag: Spread
    """By how much the loop woke somebody too late, at most, in each repeat; milliseconds."""

    @property
    def rate(self) -> float:
        """How many a second, one after the other."""
        return 1000 / self.median.median


@dataclass(frozen=True, slots=True)
class SizeFigure:
    """How large something becomes, in bytes."""

    what: str
    count: int
    least: int
    median: int
    most: int


@dataclass(frozen=True, slots=True)
class MemoryFigure:
    """Memory of the process, in MiB; 0 where the system does not say."""

    before: float
    """With everything imported, and no rights."""
    now: float
    """With everything of five epochs at hand."""
    peak: float


@dataclass(frozen=True, slots=True)
class ShapeFigure:
    """All about one shape of rights."""

    shape: str
    steps: tuple[StepFigure, ...]
    sizes: tuple[SizeFigure, ...]
    memory: MemoryFigure

    def step(self, name: str) -> StepFigure:
        """Return one step, or raise `KeyError`."""
        for figure in self.steps:
            if figure.step == name:
                return figure
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class AuthorityReport:
    """One run."""

    machine: Machine
    versions: dict[str, str]
    repeats: int
    shapes: tuple[ShapeFigure, ...]
    targets: tuple[Target, ...]

    def as_document(self) -> dict[str, Any]:
        """Return everything as values of JSON; numbers have four decimals."""
        document: dict[str, Any] = rounded({"benchmark": "authority", **asdict(self)})
        return document


def shape_figure(
    shape: str, rounds: Sequence[dict[str, Any]], memory: dict[str, Any]
) -> ShapeFigure:
    """Return what a measuring process answered, as figures.

    Args:
        shape: in words.
        rounds: one answer per repeat, at least one.
        memory: what it said about its memory afterwards.
    """
    names = list(rounds[0]["steps"])
    return ShapeFigure(
        shape=shape,
        steps=tuple(_step(name, [answer["steps"][name] for answer in rounds]) for name in names),
        sizes=tuple(_size(what, sizes) for what, sizes in rounds[-1]["sizes"].items() if sizes),
        memory=MemoryFigure(
            before=_mib(memory["before"].get("now")),
            now=_mib(memory["after"].get("now")),
            peak=_mib(memory["after"].get("peak")),
        ),
    )


def judge(shipped: ShapeFigure, shapes: Sequence[ShapeFigure]) -> tuple[Target, ...]:
    """Return what was promised, and whether it was kept.

    Args:
        shipped: of the shipped manifest.
        shapes: all that were measured.
    """
    found = shipped.step(ISSUE).median
    claims = [
        Target(
            f"{ISSUE}, {shipped.shape}",
            f"<= {ISSUE_MS:g} ms",
            f"{found.median:.0f} ms ({found.p10:.0f} - {found.p90:.0f})",
            found.median <= ISSUE_MS,
        )
    ]
    for shape in shapes:
        worst = max(shape.steps, key=lambda step: step.turn.median)
        claims.append(
            Target(
                f"longest turn of the event loop, {shape.shape}",
                f"<= {TURN_MS:g} ms",
                f"{worst.turn.median:.1f} ms: {worst.step}",
                worst.turn.median <= TURN_MS,
            )
        )
    return tuple(claims)


def idle_lag(shape: ShapeFigure) -> Spread:
    """Return how late the loop woke somebody while nothing went on: what is the machine's doing."""
    return shape.step(IDLE).lag


def _step(name: str, answers: Sequence[dict[str, Any]]) -> StepFigure:
    every = [ms for answer in answers for ms in answer["ms"]]
    each = Percentiles.of(every)
    if each is None:
        raise ValueError(f"{name!r} was never done")
    return StepFigure(
        step=name,
        count=len(answers[0]["ms"]),
        each=each,
        median=Spread.of([sorted(a["ms"])[len(a["ms"]) // 2] for a in answers]),
        cpu=Spread.of([answer["cpu_ms"] for answer in answers]),
        turn=Spread.of([answer["turn_ms"] for answer in answers]),
        lag=Spread.of([answer["lag_ms"] for answer in answers]),
    )


def _size(what: str, sizes: Sequence[int]) -> SizeFigure:
    ordered = sorted(sizes)
    return SizeFigure(what, len(ordered), ordered[0], ordered[len(ordered) // 2], ordered[-1])


def _mib(kib: int | None) -> float:
    return (kib or 0) / 1024
