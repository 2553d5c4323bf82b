import asyncio
from datetime import timedelta

import pytest

from svc_core.runtime.health import Health, LoopHealth
from tests.fakes.clock import LoopClock

BUDGET = timedelta(seconds=10)


@pytest.fixture
def health() -> Health:
    return Health(LoopClock())


async def test_nothing_expected_is_not_ready(health: Health) -> None:
    assert not health.report().ready


async def test_a_loop_that_has_not_succeeded_yet_is_not_ready(health: Health) -> None:
    health.expect("bundle", BUDGET)

    report = health.report()

    assert not report.ready
    assert report.loops["bundle"] == LoopHealth(ok=False, detail="has not succeeded yet")


async def test_a_success_makes_ready_until_the_budget_is_used_up(health: Health) -> None:
    health.expect("bundle", BUDGET)
    health.beat("bundle", "version 7")

    await asyncio.sleep(10)
    within = health.report()
    await asyncio.sleep(0.5)
    beyond = health.report()

    assert within.ready
    assert within.loops["bundle"].detail == "version 7"
    assert not beyond.ready
    assert beyond.loops["bundle"].detail == "last succeeded 10.5 s ago, budget 10.0 s; version 7"


async def test_one_late_loop_makes_the_whole_process_not_ready(health: Health) -> None:
    health.expect("bundle", BUDGET)
    health.expect("leaf", 10 * BUDGET)
    health.beat("bundle")
    health.beat("leaf")

    await asyncio.sleep(20)
    report = health.report()

    assert not report.ready
    assert report.loops["leaf"].ok
    assert report.loops["bundle"].detail == "last succeeded 20.0 s ago, budget 10.0 s"


async def test_a_failure_within_the_budget_is_told_but_does_not_count(health: Health) -> None:
    health.expect("bundle", BUDGET)
    health.beat("bundle")

    health.fail("bundle", "openbao is away")

    assert health.report().loops["bundle"] == LoopHealth(ok=True, detail="openbao is away")


async def test_a_failure_before_the_first_success_says_why(health: Health) -> None:
    health.expect("bundle", BUDGET)

    health.fail("bundle", "openbao is away")

    assert health.report().loops["bundle"] == LoopHealth(ok=False, detail="openbao is away")


async def test_a_new_budget_keeps_the_last_success(health: Health) -> None:
    health.expect("bundle", BUDGET)
    health.beat("bundle")
    await asyncio.sleep(15)

    health.expect("bundle", 2 * BUDGET)

    assert health.report().ready


async def test_loops_nothing_is_expected_of_are_not_counted(health: Health) -> None:
    health.expect("bundle", BUDGET)
    health.beat("bundle")

    health.beat("other")
    health.fail("another", "broken")

    assert health.report().as_document() == {
        "ready": True,
        "loops": {"bundle": {"ok": True, "detail": ""}},
    }
