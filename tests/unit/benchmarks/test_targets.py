"""Targets are met or missed by what was found, at the place where they say."""

from dataclasses import replace

import pytest

from benchmarks.load_phase import Load, overload_seconds
from benchmarks.message_bench import MessageCase
from benchmarks.report import LoadFigure, Percentiles
from benchmarks.rounds import Samples, Slice, Turn
from benchmarks.spread import Spread
from benchmarks.targets import (
    QUEUED,
    case_id,
    lag_target,
    latency_target,
    overload_targets,
    rate_targets,
)

RATES = {
    MessageCase.BARE_SIGN: 1000,
    MessageCase.BARE_VERIFY: 5000,
    MessageCase.SEAL_SINGLE: 900,
    MessageCase.OPEN_SINGLE: 4000,
    MessageCase.SEAL_BATCHED: 18_000,
    MessageCase.OPEN_BATCHED: 20_000,
}
LOAD = LoadFigure(
    name="some load",
    offered=5000,
    done=5000,
    refused=0,
    peak=100,
    latency=Percentiles(5, 20, 25, 30),
    p99=Spread.of([20.0]),
    lag=Percentiles(0.1, 5, 9, 12),
    lag_p999=Spread.of([9.0]),
)


def samples(**changes: int) -> Samples:
    found = Samples()
    for case, rate in RATES.items():
        count = changes.get(case.name, rate)
        found.add(Turn(0, case_id(case, 1)), Slice(count, 1.0, 1.0, 1.0))
    return found


def verdicts(found: Samples) -> list[bool]:
    return [target.is_met for target in rate_targets(found, 1)]


def test_good_rates_meet_all_three_targets() -> None:
    targets = rate_targets(samples(), 1)

    assert [target.measured.partition(" ")[0] for target in targets] == ["0.88", "20.00", "5.00"]
    assert verdicts(samples()) == [True, True, True]


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        pytest.param({"SEAL_SINGLE": 800}, 0, id="single mode far above the floor"),
        pytest.param({"SEAL_BATCHED": 13_400}, 1, id="seal in batches below 15 times"),
        pytest.param({"OPEN_BATCHED": 15_900}, 2, id="open batches below 4 times"),
    ],
)
def test_each_target_is_missed_by_its_own_figure(changes: dict[str, int], missed: int) -> None:
    assert verdicts(samples(**changes)) == [number != missed for number in range(3)]


@pytest.mark.parametrize(
    ("load", "is_met"),
    [
        pytest.param(LOAD, True, id="in time"),
        pytest.param(replace(LOAD, p99=Spread.of([35.1])), False, id="late"),
        pytest.param(replace(LOAD, refused=1), False, id="refused below capacity"),
        pytest.param(replace(LOAD, p99=Spread.of([35, 35, 900])), True, id="late once"),
        pytest.param(replace(LOAD, p99=None), False, id="nothing came through"),
    ],
)
def test_the_latency_target(load: LoadFigure, *, is_met: bool) -> None:
    assert latency_target(load).is_met is is_met


@pytest.mark.parametrize(
    ("idle_lag_ms", "is_met"), [(2.0, True), (-1.0, True), (-1.1, False), (None, False)]
)
def test_lag_counts_above_that_of_the_idle_loop(idle_lag_ms: float | None, *, is_met: bool) -> None:
    lag = None if idle_lag_ms is None else Spread.of([idle_lag_ms])

    assert lag_target(LOAD, replace(LOAD, lag_p999=lag)).is_met is is_met


def test_overload_must_refuse_and_stay_bounded() -> None:
    good = replace(LOAD, refused=7, peak=QUEUED)

    assert [target.is_met for target in overload_targets(good)] == [True, True]
    assert [target.is_met for target in overload_targets(LOAD)] == [False, True]
    grown = replace(good, peak=QUEUED + 1)
    assert [target.is_met for target in overload_targets(grown)] == [True, False]


def test_an_overload_lasts_until_the_queue_would_have_filled_twice() -> None:
    assert overload_seconds(10_000) * 5_000 == pytest.approx(2 * QUEUED)


def test_repeats_of_a_load_are_judged_together() -> None:
    load = Load()
    for rate, latency in ((100.0, 1.0), (300.0, 3.0)):
        answer = {
            "latencies_ms": [latency] * 99 + [50.0],
            "refused": 2,
            "peak": int(rate),
            "elapsed_s": 1.0,
            "lags_ms": [0.5],
        }
        load.add(rate, answer)

    figure = load.figure("x")

    assert (figure.offered, figure.done, figure.refused, figure.peak) == (200, 100, 4, 300)
    assert figure.latency is not None
    assert (figure.latency.p50, figure.latency.most) == (3.0, 50.0)
    assert figure.p99 is not None
    assert figure.p99.median == pytest.approx((1 + 3) / 2, abs=1)


def test_an_idle_loop_has_lags_only() -> None:
    load = Load()
    load.add(0.0, {"lags_ms": [0.25, 0.75]})

    figure = load.figure("idle")

    assert (figure.latency, figure.p99, figure.done) == (None, None, 0.0)
    assert figure.lag is not None
    assert figure.lag.p50 == 0.5
    assert figure.lag_p999 is not None
    assert figure.lag_p999.median == pytest.approx(0.75, abs=0.01)
