"""What messages were promised to cost, and whether this run kept it."""

from typing import Final

from benchmarks.message_bench import MessageCase
from benchmarks.report import LoadFigure, Target
from benchmarks.rounds import Samples
from benchmarks.spread import Spread
from svc_core.runtime.grouped_worker import QUEUE_LIMIT, WAITING_LIMIT

FLOOR_SHARE: Final = 0.85
SEAL_GAIN: Final = 15.0
OPEN_GAIN: Final = 4.0
P99_MS: Final = 35.0
LAG_MS: Final = 10.0
QUEUED: Final = QUEUE_LIMIT + WAITING_LIMIT + 1
"""Most messages a channel may hold: queued or at work, waiting for room, or just being refused."""


def case_id(case: MessageCase, cores: int) -> str:
    """Return the name under which ``case`` on that many processors is counted."""
    return f"{case}/{cores}"


def rate_targets(samples: Samples, cores: int) -> list[Target]:
    """Judge rates on ``cores`` processors against the floor and against each other."""
    seal, opened = MessageCase.SEAL_SINGLE, MessageCase.OPEN_SINGLE
    share = samples.round_trip_share(
        (case_id(seal, cores), case_id(opened, cores)),
        (case_id(MessageCase.BARE_SIGN, cores), case_id(MessageCase.BARE_VERIFY, cores)),
    )
    gains = [
        samples.ratio(case_id(batched, cores), case_id(single, cores))
        for batched, single in (
            (MessageCase.SEAL_BATCHED, seal),
            (MessageCase.OPEN_BATCHED, opened),
        )
    ]
    on = f"{cores} core{'s' if cores > 1 else ''}"
    return [
        _at_least(
            f"seal and open one by one, of the bare sign and verify, {on}", share, FLOOR_SHARE
        ),
        _at_least(f"seal in batches, times one by one, {on}", gains[0], SEAL_GAIN),
        _at_least(f"open batches, times one by one, {on}", gains[1], OPEN_GAIN),
    ]


def transport_target(claim: str, found: Spread) -> Target:
    """Judge an exchange over the transport against the sum of its parts."""
    return _at_least(claim, found, FLOOR_SHARE)


def _at_least(claim: str, found: Spread, wanted: float) -> Target:
    measured = f"{found.median:.2f} ({found.p10:.2f} - {found.p90:.2f})"
    return Target(claim, f">= {wanted:g}", measured, found.median >= wanted)


def latency_target(load: LoadFigure) -> Target:
    """Judge the 99th percentile of the latency at ``load``, the median over the repeats."""
    claim = f"p99 latency at {load.name} ({load.offered:.0f}/s)"
    wanted = f"<= {P99_MS:g} ms"
    if load.p99 is None:
        return Target(claim, wanted, "nothing came through", is_met=False)
    refused = f", {load.refused} refused" if load.refused else ""
    is_met = load.p99.median <= P99_MS and not load.refused
    return Target(claim, wanted, f"{_in_ms(load.p99)}{refused}", is_met)


def lag_target(load: LoadFigure, idle: LoadFigure) -> Target:
    """Judge how much later than idle the event loop ran at ``load``, medians over the repeats."""
    claim = f"p99.9 event-loop lag above idle at {load.name} ({load.offered:.0f}/s)"
    wanted = f"<= {LAG_MS:g} ms"
    if load.lag_p999 is None or idle.lag_p999 is None:
        return Target(claim, wanted, "the probe never ran", is_met=False)
    above = load.lag_p999.median - idle.lag_p999.median
    measured = f"{above:.1f} ms ({load.lag_p999.median:.1f} less {idle.lag_p999.median:.1f})"
    return Target(claim, wanted, measured, above <= LAG_MS)


def _in_ms(found: Spread) -> str:
    return f"{found.median:.1f} ms ({found.p10:.1f} - {found.p90:.1f})"


def overload_targets(load: LoadFigure) -> list[Target]:
    """Judge what happens beyond capacity: refusals by type, and no more than the queue holds."""
    at = f"at {load.name} ({load.offered:.0f}/s)"
    refusal = Target(
        f"refusals with OverloadedError {at}", "> 0", str(load.refused), load.refused > 0
    )
    bounded = Target(
        f"most messages under way {at}", f"<= {QUEUED}", str(load.peak), load.peak <= QUEUED
    )
    return [refusal, bounded]
