"""How long material may take to arrive, in virtual time: patience, pace, reports, the same end."""

import asyncio
from datetime import timedelta

import pytest

from services.watcher.flows.propagation import SLOW, Propagation
from services.watcher.flows.server_following import BY_KUBELET
from tests.fakes.clock import LoopClock


@pytest.mark.parametrize("delay_s", [0, 20, 100])
async def test_a_server_is_asked_patiently_until_its_files_arrive(delay_s: int) -> None:
    clock = LoopClock()
    propagation, began, asked = Propagation(clock), clock.monotonic(), 0
    slow: list[timedelta] = []

    propagation.begin("n1", "digest")
    for pause in BY_KUBELET:
        asked += 1
        if clock.monotonic() - began >= delay_s:
            break
        slow += filter(None, [propagation.missed("n1")])
        await asyncio.sleep(pause.total_seconds())
    took = propagation.arrived("n1")

    assert took is not None
    assert 0 <= took.total_seconds() - delay_s <= BY_KUBELET.most.total_seconds()
    assert asked <= 5 + delay_s / 3
    assert propagation.missing == ()
    assert len(slow) == (1 if delay_s > SLOW.total_seconds() else 0)


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
