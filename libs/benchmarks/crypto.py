"""``bench crypto``: every primitive through our functions, beside the library's own call."""

from collections.abc import Callable
from typing import Final

from benchmarks.crew import Worker, WorkerOrder, open_worker
from benchmarks.crypto_cases import LISTING, REFERENCE, bare_id, ours_id
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.report import BenchReport, Figure
from benchmarks.rounds import Plan, Samples, turns

SLICE_S: Final = 0.02
"""Short enough that the machine is the same for a call and the one it is compared with."""

_WITHOUT_RATIO: Final = "what has no ratio is the library's own call, for comparison only"

Progress = Callable[[str, float], None]
"""Told what is going on and which share of the run is over, 0 to 1."""


async def bench_crypto(plan: Plan, progress: Progress) -> BenchReport:
    """Measure on one processor, in processor time, and return the report.

    Raises:
        WorkerEndedError: the measuring process died.
    """
    machine = describe_machine()
    async with open_worker(WorkerOrder("crypto", machine.cpus[:1])) as worker:
        listing = await worker.ask(LISTING, 0)
        cases = listing["cases"]
        samples = await _measure(worker, plan, _ids(cases), progress)
    return BenchReport(
        benchmark="crypto",
        machine=machine,
        versions=describe_versions(),
        plan=plan,
        settings={"reference": "SHAKE256 of 4 KiB"},
        figures=tuple(_figure(case, samples) for case in cases),
        notes=(*listing["refusals"], _WITHOUT_RATIO),
    )


async def _measure(worker: Worker, plan: Plan, ids: list[str], progress: Progress) -> Samples:
    samples = Samples()
    all_turns = list(turns(plan, ids))
    for done, turn in enumerate(all_turns):
        samples.add(turn, await worker.measure(turn.case, plan.slice_seconds))
        progress(f"repeat {turn.repeat + 1} of {plan.repeats}", (done + 1) / len(all_turns))
    return samples


def _ids(cases: list[dict[str, str]]) -> list[str]:
    ids = [REFERENCE]
    for case in cases:
        if not case["is_bare_only"]:
            ids.append(ours_id(case["name"], case["provider"]))
        ids.append(bare_id(case["name"], case["provider"]))
    return ids


def _figure(case: dict[str, str], samples: Samples) -> Figure:
    name, provider = case["name"], case["provider"]
    bare = bare_id(name, provider)
    ours = bare if case["is_bare_only"] else ours_id(name, provider)
    return Figure(
        name=name,
        where=provider,
        rate=samples.rate(ours),
        to_base=None if case["is_bare_only"] else samples.ratio(ours, bare),
        base="the library's own call",
        cost=samples.ratio(REFERENCE, ours),
    )
