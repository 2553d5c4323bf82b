"""How long material may take to arrive, in virtual time: patience, pace, reports, the same end."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from services.watcher.flows.propagation import SLOW, Propagation
from services.watcher.flows.reload_metrics import PROPAGATION, ReloadMetrics
from services.watcher.flows.server_following import BY_KUBELET
from tests.fakes.clock import LoopClock


@dataclass
class NotedEvents:
    """Keeps what an operator would find."""

    slow: list[tuple[str, timedelta]] = field(default_factory=list)

    def applied(self, *, version: int, active: str) -> None:
        """Not looked at here."""

    def reload_failed(self, server: str, reason: str) -> None:
        """Not looked at here."""

    def propagation_slow(self, server: str, waited: timedelta) -> None:
        """Keep it."""
        self.slow.append((server, waited))


def observed(registry: CollectorRegistry) -> float:
    return registry.get_sample_value(f"{PROPAGATION}_sum") or 0.0


@pytest.mark.parametrize("delay_s", [0, 20, 100])
async def test_a_server_is_asked_patiently_until_its_files_arrive(delay_s: int) -> None:
    clock, registry, events = LoopClock(), CollectorRegistry(), NotedEvents()
    propagation = Propagation(clock)
    propagation.metrics, propagation.events = ReloadMetrics(registry), events
    began, asked = clock.monotonic(), 0

    assert propagation.begin("n1", "digest")
    for pause in BY_KUBELET:
        asked += 1
        if clock.monotonic() - began >= delay_s:
            propagation.arrived("n1")
            break
        propagation.missed("n1")
        await asyncio.sleep(pause.total_seconds())

    late = clock.monotonic() - began - delay_s
    assert 0 <= late <= BY_KUBELET.most.total_seconds()
    assert observed(registry) == pytest.approx(delay_s + late)
    assert asked <= 5 + delay_s / 3
    assert propagation.missing == ()
    assert len(events.slow) == (1 if delay_s > SLOW.total_seconds() else 0)


async def test_the_same_material_is_news_once() -> None:
    propagation = Propagation(LoopClock())

    news = [propagation.begin("n1", digest) for digest in ("a", "a", "b", "b")]
    propagation.arrived("n1")
    news.append(propagation.begin("n1", "b"))

    assert news == [True, False, True, False, False]


async def test_newer_material_is_waited_for_from_its_own_beginning() -> None:
    clock = LoopClock()
    propagation = Propagation(clock)
    propagation.begin("n1", "a")
    propagation.missed("n1")
    await asyncio.sleep(SLOW.total_seconds() + 1)
    was_slow = propagation.is_slow

    propagation.begin("n1", "b")

    assert (was_slow, propagation.is_slow) == (True, False)


async def test_a_server_that_comes_back_with_former_files_is_waited_for_again() -> None:
    propagation = Propagation(LoopClock())
    propagation.begin("n1", "a")
    propagation.arrived("n1")

    propagation.missed("n1")

    assert propagation.missing == ("n1",)
