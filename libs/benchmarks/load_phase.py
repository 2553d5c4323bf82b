"""Latency of sealing in batches under several offered rates, and the event loop's lag meanwhile.

In every repeat all loads take turns, the idle loop among them. The capacity is measured anew in
each, right before the loads that are given in shares of it, with a task for each message as the
timetable has.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.crew import Worker
from benchmarks.crypto import Progress
from benchmarks.message_bench import MessageCase
from benchmarks.report import LoadFigure, Percentiles
from benchmarks.rounds import Plan
from benchmarks.spread import Spread, percentile
from benchmarks.targets import QUEUED

RATES: Final = (1000, 5000, 8000)
"""Messages per second that are offered on every machine."""


@dataclass(frozen=True, slots=True)
class _Loads:
    idle: str = "idle"
    judged: str = "60 % of capacity"
    overload: str = "150 % of capacity"


LOADS: Final = _Loads()
_SHARE: Final = 0.6
_OVERLOAD: Final = 1.5


@dataclass(slots=True)
class Load:
    """What was found at one offered rate, repeat after repeat."""

    offered: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    lags_ms: list[float] = field(default_factory=list)
    lag_p999_ms: list[float] = field(default_factory=list)
    refused: int = 0
    peak: int = 0
    elapsed_s: float = 0.0

    def add(self, rate: float, answer: dict[str, Any]) -> None:
        """Take one repeat in; that of the idle loop has nothing but lags."""
        latencies = answer.get("latencies_ms", [])
        self.offered.append(rate)
        self.latencies_ms += latencies
        self.lags_ms += answer["lags_ms"]
        self.refused += answer.get("refused", 0)
        self.peak = max(self.peak, answer.get("peak", 0))
        self.elapsed_s += answer.get("elapsed_s", 0.0)
        if latencies:
            self.p99_ms.append(percentile(latencies, 0.99))
        if answer["lags_ms"]:
            self.lag_p999_ms.append(percentile(answer["lags_ms"], 0.999))

    def figure(self, name: str) -> LoadFigure:
        """Return what all repeats say together."""
        return LoadFigure(
            name=name,
            offered=percentile(self.offered, 0.5),
            done=len(self.latencies_ms) / self.elapsed_s if self.elapsed_s else 0.0,
            refused=self.refused,
            peak=self.peak,
            latency=Percentiles.of(self.latencies_ms),
            p99=Spread.of(self.p99_ms) if self.p99_ms else None,
            lag=Percentiles.of(self.lags_ms),
            lag_p999=Spread.of(self.lag_p999_ms) if self.lag_p999_ms else None,
        )


def overload_seconds(capacity: float) -> float:
    """Return for how long 150 % of ``capacity`` must be offered to fill the queue twice over."""
    return 2 * QUEUED / ((_OVERLOAD - 1) * capacity)


async def measure_loads(worker: Worker, plan: Plan, progress: Progress) -> tuple[LoadFigure, ...]:
    """Offer every rate in every repeat for the plan's seconds and return what became of it.

    Raises:
        WorkerEndedError: the measuring process died.
    """
    loads: defaultdict[str, Load] = defaultdict(Load)

    async def offer(name: str, rate: float, seconds: float = plan.seconds) -> None:
        loads[name].add(rate, await worker.ask(MessageCase.OFFER, seconds, rate=rate))

    async def capacity() -> float:
        return (await worker.measure(MessageCase.CAPACITY, plan.seconds)).rate

    for repeat in range(plan.repeats):
        progress(f"load, repeat {repeat + 1} of {plan.repeats}", repeat / plan.repeats)
        loads[LOADS.idle].add(0.0, await worker.ask(MessageCase.IDLE, plan.seconds))
        for rate in RATES:
            await offer(f"{rate}/s", rate)
        await offer(LOADS.judged, _SHARE * await capacity())
        found = await capacity()
        await offer(LOADS.overload, _OVERLOAD * found, max(plan.seconds, overload_seconds(found)))
    progress("done", 1.0)
    return tuple(load.figure(name) for name, load in loads.items())
