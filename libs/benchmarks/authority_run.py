"""``bench authority``: rights, keys and bundles, as they are shipped and at scale."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.authority_order import MEMORY, MODULE, ROUND, AuthorityOrder
from benchmarks.authority_report import AuthorityReport, ShapeFigure, judge, shape_figure
from benchmarks.crew import open_process
from benchmarks.crypto import Progress
from benchmarks.machine import describe_machine, describe_versions


async def bench_authority(
    orders: Sequence[AuthorityOrder], repeats: int, progress: Progress
) -> AuthorityReport:
    """Measure one shape after the other, each in a process of its own.

    Args:
        orders: that of the shipped manifest first; it is what others are compared with.
        repeats: epochs each shape goes through, after those that fill the store.
        progress: told what is going on.

    Raises:
        WorkerEndedError: a measuring process died.
    """
    machine = describe_machine()
    shapes: list[ShapeFigure] = []
    for place, order in enumerate(orders):
        part = _Part(progress, place, len(orders))
        shapes.append(await _measured(order, repeats, part.progress))
    return AuthorityReport(
        machine=machine,
        versions=describe_versions(),
        repeats=repeats,
        shapes=tuple(shapes),
        targets=judge(shapes[0], shapes),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """One of several shapes, as a share of the whole run."""

    whole: Progress
    place: int
    parts: int

    def progress(self, text: str, share: float) -> None:
        self.whole(text, (self.place + share) / self.parts)


async def _measured(order: AuthorityOrder, repeats: int, progress: Progress) -> ShapeFigure:
    async with open_process(MODULE, asdict(order)) as process:
        progress(f"{order.shape}: filling the store", 0.0)
        rounds = []
        for repeat in range(repeats):
            rounds.append(await process.ask(ROUND, 0))
            progress(f"{order.shape}: epoch {repeat + 1} of {repeats}", (repeat + 1) / repeats)
        memory = await process.ask(MEMORY, 0)
    return shape_figure(order.shape, rounds, memory)
