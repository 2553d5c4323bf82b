"""``bench messages``: how many messages a service seals and opens, and how late they are.

On two processors everything is measured in two processes, as a service is spread over processors:
two instances share one durable. What is signed one by one is measured in one process with two
threads as well, since signatures free the interpreter.

Rates on one core are per second of processor time, so that other programs on the machine do not
change them; those on two cores are by the wall, since how well two cores are used is the question.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.crew import Worker, WorkerOrder, measure_together, open_worker
from benchmarks.crypto import Progress
from benchmarks.load_phase import LOADS, measure_loads
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.message_bench import MessageCase
from benchmarks.report import BenchReport, Figure, LoadFigure, Target
from benchmarks.rounds import Plan, Samples, Slice, turns
from benchmarks.targets import (
    case_id,
    lag_target,
    latency_target,
    overload_targets,
    rate_targets,
)
from svc_core.crypto.algorithms import Algorithm

SLICE_S: Final = 0.25
"""Long enough for many batches, short enough for a wandering machine."""
_RATES: Final = (
    MessageCase.BARE_SIGN,
    MessageCase.SEAL_SINGLE,
    MessageCase.SEAL_BATCHED,
    MessageCase.BARE_VERIFY,
    MessageCase.OPEN_SINGLE,
    MessageCase.OPEN_BATCHED,
)
_FLOORS: Final = {
    MessageCase.SEAL_SINGLE: MessageCase.BARE_SIGN,
    MessageCase.SEAL_BATCHED: MessageCase.BARE_SIGN,
    MessageCase.OPEN_SINGLE: MessageCase.BARE_VERIFY,
    MessageCase.OPEN_BATCHED: MessageCase.BARE_VERIFY,
}
_IN_THREADS: Final = (
    MessageCase.BARE_SIGN,
    MessageCase.SEAL_SINGLE,
    MessageCase.BARE_VERIFY,
    MessageCase.OPEN_SINGLE,
)
_TWO: Final = 2
_UNDISTURBED: Final = 0.9
"""Share of its processors that signing without pause gets on a quiet machine."""
_RATE_PHASE: Final = 0.6
"""About which share of the time rates take; the rest is latency."""

Measure = Callable[[float], Awaitable[Slice]]


async def bench_messages(plan: Plan, algorithm: Algorithm, progress: Progress) -> BenchReport:
    """Measure rates, then latencies under load, and return the report.

    Raises:
        WorkerEndedError: a measuring process died.
    """
    machine = describe_machine()
    progress("making keys and messages", 0.0)
    async with _open_crew(machine.cpus[:_TWO], algorithm) as crew:
        samples = await _measure_rates(crew, plan, _scaled(progress, 0.0, _RATE_PHASE))
        rest = _scaled(progress, _RATE_PHASE, 1.0)
        loads = await measure_loads(crew.whole, plan, rest)
    return BenchReport(
        benchmark="messages",
        machine=machine,
        versions=describe_versions(),
        plan=plan,
        settings={"algorithm": algorithm, "payload": "300 B"},
        figures=tuple(_figures(samples, crew)),
        loads=loads,
        targets=tuple(_judge(samples, crew, loads)),
        notes=tuple(_notes(samples, crew)),
    )


@dataclass(frozen=True, slots=True)
class _Crew:
    """The measuring processes: one per processor, and one that has all."""

    first: Worker
    second: Worker | None
    whole: Worker

    def measurements(self) -> Mapping[str, Measure]:
        found: dict[str, Measure] = {
            case_id(case, 1): partial(_on_one_core, self.first, case) for case in _RATES
        }
        if self.second is None:
            return found
        both = (self.first, self.second)
        found |= {case_id(case, _TWO): partial(measure_together, both, case) for case in _RATES}
        found |= {_threaded(case): partial(self.whole.measure, case) for case in _IN_THREADS}
        return found

    @property
    def cores(self) -> tuple[int, ...]:
        return (1, _TWO) if self.second else (1,)


async def _on_one_core(worker: Worker, case: MessageCase, seconds: float) -> Slice:
    # A process that is busy all the time has done what a processor can, whoever else had it too.
    return (await worker.measure(case, seconds)).by_cpu()


@asynccontextmanager
async def _open_crew(cpus: tuple[int, ...], algorithm: Algorithm) -> AsyncIterator[_Crew]:
    async with AsyncExitStack() as stack:

        async def open_on(own: tuple[int, ...]) -> Worker:
            order = WorkerOrder("messages", own, algorithm)
            return await stack.enter_async_context(open_worker(order))

        first = await open_on(cpus[:1])
        second = await open_on(cpus[1:]) if len(cpus) == _TWO else None
        yield _Crew(first, second, await open_on(cpus))


async def _measure_rates(crew: _Crew, plan: Plan, progress: Progress) -> Samples:
    samples, measurements = Samples(), crew.measurements()
    all_turns = list(turns(plan, list(measurements)))
    for done, turn in enumerate(all_turns):
        samples.add(turn, await measurements[turn.case](plan.slice_seconds))
        text = f"rates, repeat {turn.repeat + 1} of {plan.repeats}"
        progress(text, (done + 1) / len(all_turns))
    return samples


def _threaded(case: MessageCase) -> str:
    return f"{case}/threads"


def _figures(samples: Samples, crew: _Crew) -> list[Figure]:
    found = [_figure(samples, case, "1 core", partial(case_id, cores=1)) for case in _RATES]
    if crew.second is not None:
        where = f"{_TWO} cores, processes"
        found += [_figure(samples, case, where, partial(case_id, cores=_TWO)) for case in _RATES]
        where = f"{_TWO} cores, threads"
        found += [_figure(samples, case, where, _threaded) for case in _IN_THREADS]
    return found


def _figure(
    samples: Samples, case: MessageCase, where: str, name_of: Callable[[MessageCase], str]
) -> Figure:
    floor, name = _FLOORS.get(case), name_of(case)
    return Figure(
        name=case,
        where=where,
        rate=samples.rate(name),
        to_base=samples.ratio(name, name_of(floor)) if floor else None,
        base=floor or "",
        busy=samples.busy(name),
    )


def _notes(samples: Samples, crew: _Crew) -> Iterator[str]:
    if crew.second is None:
        yield "only one processor is usable: nothing is known about two"
    cores = crew.cores[-1]
    busy = samples.busy(case_id(MessageCase.BARE_SIGN, cores)).median
    if busy < _UNDISTURBED * cores:
        yield (
            f"other programs took {1 - busy / cores:.0%} of the processors: what is measured by the"
            " wall (two cores, latency, lag) says more about them than about this project"
        )


def _judge(samples: Samples, crew: _Crew, loads: tuple[LoadFigure, ...]) -> list[Target]:
    by_name = {load.name: load for load in loads}
    targets = [target for cores in crew.cores for target in rate_targets(samples, cores)]
    targets.append(latency_target(by_name[LOADS.judged]))
    targets.append(lag_target(by_name[LOADS.judged], by_name[LOADS.idle]))
    return targets + overload_targets(by_name[LOADS.overload])


def _scaled(progress: Progress, start: float, end: float) -> Progress:
    return lambda text, share: progress(text, start + (end - start) * share)
