"""``bench transport``: sealed requests and answers over NATS, beside the same bytes by nats-py.

Every combination of event loop and TLS is a process of its own on the first processor, the servers
have the others. In each, cases take turns: the exchange as the services have it, the same exchange
by nats-py alone, and sealing and opening as ``bench messages`` has them. One exchange by nats-py,
two messages sealed and two opened is what the first is held against.

Counted by the wall, and by processor time of the measuring process, which neither waits for the
server nor is used up by other programs.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks.channel_load import PAYLOAD_SIZE, SUBMITTERS
from benchmarks.crew import UVLOOP, Worker, WorkerOrder, open_worker
from benchmarks.crypto import Progress
from benchmarks.load_phase import Load
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.places import ServerPlace
from benchmarks.report import BenchReport, Figure, LoadFigure, Target
from benchmarks.rounds import Plan, Samples, Turn, turns
from benchmarks.targets import transport_target
from benchmarks.transport_bench import TransportCase
from svc_core.crypto.algorithms import Algorithm

SLICE_S: Final = 1.0
"""Long against the time it takes until as many exchanges are under way as there are submitters."""
_PARTS: Final = (
    TransportCase.BARE,
    *(2 * (TransportCase.SEAL, TransportCase.OPEN)),
)
"""What an exchange consists of; the same may be in it more than once."""
_BASE: Final = "bare + cryptography"
_RATE_PHASE: Final = 0.6
_SHORT: Final = {TransportCase.BARE: "bare", TransportCase.SEALED: "sealed"}


@dataclass(frozen=True, slots=True)
class TransportOrder:
    """What is measured, and where."""

    plain: ServerPlace
    secure: ServerPlace
    algorithm: Algorithm
    rate: float
    """Exchanges per second of the timetable."""


@dataclass(frozen=True, slots=True)
class _Row:
    loop: str
    place: ServerPlace

    @property
    def name(self) -> str:
        return f"{self.loop}, {'TLS' if self.place.is_secure else 'no TLS'}"

    def case(self, case: TransportCase, *, by_cpu: bool = False) -> str:
        return f"{self.name}/{case}{'/processor' if by_cpu else ''}"


async def bench_transport(plan: Plan, order: TransportOrder, progress: Progress) -> BenchReport:
    """Measure rates, then latencies by a timetable, and return the report.

    Raises:
        WorkerEndedError: a measuring process died.
    """
    machine = describe_machine()
    progress("making keys and connections", 0.0)
    async with _open_crew(order, machine.cpus[:1]) as crew:
        samples = await _measure_rates(crew, plan, progress)
        loads = await _measure_loads(crew, plan, order.rate, progress)
    return BenchReport(
        benchmark="transport",
        machine=machine,
        versions=describe_versions(),
        plan=plan,
        settings={
            "algorithm": order.algorithm,
            "payload": f"{PAYLOAD_SIZE} B",
            "under way": str(SUBMITTERS),
        },
        figures=tuple(figure for row in crew for figure in _figures(samples, row)),
        loads=loads,
        loads_title="Latency in ms of one exchange by a timetable, from the instant it was due",
        targets=tuple(target for row in crew for target in _targets(samples, row)),
    )


@asynccontextmanager
async def _open_crew(
    order: TransportOrder, cpus: tuple[int, ...]
) -> AsyncIterator[Mapping[_Row, Worker]]:
    async with AsyncExitStack() as stack:
        crew: dict[_Row, Worker] = {}
        for loop in (UVLOOP, "asyncio"):
            for place in (order.secure, order.plain):
                asked = WorkerOrder(
                    "transport",
                    cpus,
                    order.algorithm,
                    loop=loop,
                    server_url=place.url,
                    server_folder=place.folder,
                )
                crew[_Row(loop, place)] = await stack.enter_async_context(open_worker(asked))
        yield crew


async def _measure_rates(crew: Mapping[_Row, Worker], plan: Plan, progress: Progress) -> Samples:
    samples = Samples()
    asked = {row.case(case): (row, case) for row in crew for case in TransportCase}
    all_turns = list(turns(plan, list(asked)))
    for done, turn in enumerate(all_turns):
        row, case = asked[turn.case]
        found = await crew[row].measure(case, plan.slice_seconds)
        samples.add(turn, found)
        samples.add(Turn(turn.repeat, row.case(case, by_cpu=True)), found.by_cpu())
        text = f"rates, repeat {turn.repeat + 1} of {plan.repeats}"
        progress(text, _RATE_PHASE * (done + 1) / len(all_turns))
    return samples


async def _measure_loads(
    crew: Mapping[_Row, Worker], plan: Plan, rate: float, progress: Progress
) -> tuple[LoadFigure, ...]:
    loads: defaultdict[str, Load] = defaultdict(Load)
    for repeat in range(plan.repeats):
        share = _RATE_PHASE + (1 - _RATE_PHASE) * repeat / plan.repeats
        progress(f"latency, repeat {repeat + 1} of {plan.repeats}", share)
        for row, worker in crew.items():
            for case in _SHORT:
                answer = await worker.ask(case, plan.seconds, rate=rate)
                loads[f"{row.name}: {_SHORT[case]}"].add(rate, answer)
    progress("done", 1.0)
    return tuple(load.figure(name) for name, load in loads.items())


def _figures(samples: Samples, row: _Row) -> Iterator[Figure]:
    parts = [row.case(part) for part in _PARTS]
    for case in TransportCase:
        name = row.case(case)
        is_whole = case is TransportCase.SEALED
        yield Figure(
            name=case,
            where=row.name,
            rate=samples.rate(name),
            to_base=samples.ratio_to_sum(name, parts) if is_whole else None,
            base=_BASE if is_whole else "",
            busy=samples.busy(name),
        )


def _targets(samples: Samples, row: _Row) -> Iterator[Target]:
    for by_cpu, unit in ((False, "second"), (True, "processor second")):
        whole, *parts = (row.case(case, by_cpu=by_cpu) for case in (TransportCase.SEALED, *_PARTS))
        found = samples.ratio_to_sum(whole, parts)
        yield transport_target(f"sealed exchanges per {unit}, of {_BASE}, {row.name}", found)
