"""The watch over certificates: what it exports, when it speaks, and when a process is not ready."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from svc_core.domain.tls import TlsHealth, TlsState
from svc_core.runtime.health import Health
from svc_core.runtime.tls_watching import (
    TLS_FAILURES,
    TLS_GENERATION,
    TLS_REMAINING,
    TLS_STATE,
    TlsWatch,
    export_tls,
)
from tests.fakes.clock import LoopClock

GOOD = TlsHealth(TlsState.OK, timedelta(seconds=60), "ca-1-1", generation=1)
ABSENT = TlsHealth(TlsState.EXPIRED, timedelta(0), last_error="no certificate yet")


@dataclass
class Holder:
    health: TlsHealth


@asynccontextmanager
async def watching(**holders: Holder) -> AsyncIterator[tuple[Health, list[Any]]]:
    health = Health(LoopClock())
    watch = TlsWatch(holders, health)
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(watch.run())
            await asyncio.sleep(0)
            yield health, logs
            task.cancel()


async def test_every_change_is_said_once_and_as_loudly_as_it_matters() -> None:
    holder = Holder(GOOD)
    async with watching(own=holder) as (_, logs):
        for state in (TlsState.DEGRADED, TlsState.CRITICAL, TlsState.EXPIRED, TlsState.OK):
            holder.health = replace(GOOD, state=state)
            await asyncio.sleep(5)

    said = [(e["log_level"], e["before"], e["state"]) for e in logs]
    assert said == [
        ("info", "", "ok"),
        ("warning", "ok", "degraded"),
        ("error", "degraded", "critical"),
        ("error", "critical", "expired"),
        ("info", "expired", "ok"),
    ]
    assert {e["event"] for e in logs} == {"tls.state_changed"}
    assert logs[0]["identity"] == "own"


async def test_a_certificate_that_has_not_come_yet_is_no_news_but_not_ready() -> None:
    holder = Holder(ABSENT)
    async with watching(own=holder) as (health, logs):
        await asyncio.sleep(5)
        assert logs == []
        assert not health.report().ready

        holder.health = GOOD
        await asyncio.sleep(1)

        assert health.report().ready
        assert len(logs) == 1


async def test_readiness_ends_with_the_last_second_of_any_certificate() -> None:
    one, other = Holder(GOOD), Holder(GOOD)
    async with watching(one=one, other=other) as (health, _):
        other.health = replace(GOOD, state=TlsState.CRITICAL)
        await asyncio.sleep(10)
        assert health.report().ready

        other.health = replace(GOOD, state=TlsState.EXPIRED)
        await asyncio.sleep(5)

        report = health.report()
        assert not report.ready
        assert "other" in report.loops[TlsWatch.name].detail
        assert "one" not in report.loops[TlsWatch.name].detail.replace("none", "")


def test_metrics_are_read_when_they_are_scraped() -> None:
    registry = CollectorRegistry()
    holders: dict[str, Holder] = {}
    export_tls(registry, holders)
    holders["own"] = Holder(replace(GOOD, state=TlsState.CRITICAL, generation=7, failures=2))

    def read(name: str) -> float | None:
        return registry.get_sample_value(name, {"identity": "own"})

    assert read(TLS_STATE) == 2
    assert read(TLS_REMAINING) == 60
    assert read(TLS_GENERATION) == 7
    assert read(TLS_FAILURES) == 2
