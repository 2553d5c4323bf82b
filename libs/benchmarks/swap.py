"""``bench swap``: a steady stream of messages while certificates and trust are replaced under it.

For each way of moving a connection, windows with a swap take turns with windows of the same length
without. A swap is all that a rotation does to a connection: the servers are given the new issuer
beside the old one and certificates of it, both connections move to leaves of it, and the servers
stop trusting the old one.
"""

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final, Protocol

from benchmarks.crew import Worker, open_process
from benchmarks.crypto import Progress
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.swap_place import SwapPlace, Way
from benchmarks.swap_report import SwapPlan, SwapReport, WayFigure, judge, way_figure
from benchmarks.swap_worker import SwapCase

WARM_UP_S: Final = 2.0
"""How long the load runs before the first window."""


class SwapServers(Protocol):
    """NATS servers whose certificates and trust can be replaced; move 0 is the start."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Where they listen."""
        ...

    @property
    def folder(self) -> Path:
        """Where the clients' certificates of every move are; see `SwapPlace`."""
        ...

    async def introduce(self, move: int) -> None:
        """Trust the issuer of ``move`` too, and serve with its certificates; verified."""
        ...

    async def withdraw(self, move: int) -> None:
        """Trust the issuer of ``move`` alone."""
        ...


def moves_of(plan: SwapPlan) -> int:
    """Return how many moves a run makes."""
    return plan.swaps * len(plan.ways)


async def bench_swap(plan: SwapPlan, servers: SwapServers, progress: Progress) -> SwapReport:
    """Measure every way of the plan, one after the other, and return the report.

    Raises:
        WorkerEndedError: a measuring process died.
    """
    machine = describe_machine()
    figures = []
    for number, way in enumerate(plan.ways):
        figures.append(await _measure(plan, servers, progress, number, way))
    ours = [figure for figure in figures if figure.way is Way.SWAP]
    return SwapReport(
        machine=machine,
        versions=describe_versions(),
        plan=plan,
        ways=tuple(figures),
        targets=tuple(target for figure in ours for target in judge(figure)),
    )


async def _measure(
    plan: SwapPlan, servers: SwapServers, progress: Progress, turn: int, way: Way
) -> WayFigure:
    first = turn * plan.swaps
    place = SwapPlace(way, servers.urls, str(servers.folder), plan.rate, first)
    moves_s: list[float] = []
    async with open_process("benchmarks.swap_worker", asdict(place)) as worker:
        await worker.ask(SwapCase.MARK, WARM_UP_S)
        for number in range(first + 1, first + plan.swaps + 1):
            share = (number - 1) / moves_of(plan)
            progress(f"{way}: {number - first} of {plan.swaps}", share)
            began = time.perf_counter()
            moves_s.append(await _swap(servers, worker, number))
            await asyncio.sleep(max(0.0, began + plan.window_s - time.perf_counter()))
            await worker.ask(SwapCase.MARK, 0)
            # As long as the one before, so that both have had the same chance of a mishap.
            await asyncio.sleep(time.perf_counter() - began)
            await worker.ask(SwapCase.MARK, 0)
        return way_figure(way, await worker.ask(SwapCase.END, 0), moves_s)


async def _swap(servers: SwapServers, worker: Worker, number: int) -> float:
    await servers.introduce(number)
    answer = await worker.ask(SwapCase.MOVE, 0, number=number)
    await servers.withdraw(number)
    return float(answer["elapsed_s"])
