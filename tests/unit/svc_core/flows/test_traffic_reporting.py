"""Rates that are rates, and downtime that is noticed."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from svc_core.domain.milestones import Milestones
from svc_core.flows.traffic_reporting import TrafficInterval, TrafficReporter
from svc_core.runtime.health import Health
from svc_core.runtime.traffic_metrics import TrafficMetrics
from tests.builders import make_surroundings
from tests.fakes.clock import LoopClock


class Reported:
    """A reporter with what it stands on."""

    def __init__(self) -> None:
        clock = LoopClock()
        self.metrics = TrafficMetrics(CollectorRegistry())
        self.health = Health(clock)
        around = make_surroundings(clock, health=self.health)
        self.reporter = TrafficReporter(self.metrics, lines, around)


def lines(interval: TrafficInterval) -> tuple[str, ...]:
    rate = interval.per_minute(lambda counts: counts.sent)
    return (f"sent={interval.now.sent} rate={rate:g} down={interval.downtimes}",)


async def run_for(reported: Reported, seconds: float) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reported.reporter.run())
        await asyncio.sleep(seconds)
        task.cancel()


async def test_the_rate_is_that_of_the_interval_not_of_all_time() -> None:
    reported = Reported()
    for _ in range(60):
        asyncio.get_running_loop().call_later(0.5, reported.metrics.sent)

    with capture_logs() as logs:
        await run_for(reported, 20.5)

    assert [entry["event"] for entry in logs] == [
        "sent=60 rate=360 down=0",
        "sent=60 rate=0 down=0",
    ]


async def test_downtime_is_said_when_it_begins_and_when_it_ends() -> None:
    reported = Reported()
    reported.health.expect("bundles", timedelta(seconds=2))
    loop = asyncio.get_running_loop()
    for second in (0.5, 6.5):
        loop.call_later(second, reported.health.beat, "bundles")

    with capture_logs() as logs:
        await run_for(reported, 8)

    assert [(entry["log_level"], entry["event"]) for entry in logs] == [
        ("warning", "Consumer downtime started reason=not ready: bundles"),
        ("warning", "Consumer service recovered downtimeMs=4000 reason=ready again"),
    ]


@pytest.mark.parametrize(
    ("counts", "told"), [((99, 100, 150, 199, 200), (100, 200)), ((350, 360, 450), (350, 450))]
)
def test_a_milestone_is_told_once_per_step(counts: tuple[int, ...], told: tuple[int, ...]) -> None:
    milestones = Milestones(step=100)

    assert tuple(count for count in counts if milestones.reached(count)) == told
