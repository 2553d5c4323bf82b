"""A timetable does not wait for answers, and latency counts from when a request was due."""

import asyncio
from dataclasses import dataclass

import pytest

from benchmarks.loop_probe import TICK_S, LagProbe
from benchmarks.open_loop import offer
from svc_core.errors import OverloadedError

TICK_MS = TICK_S * 1000


def loop_time() -> float:
    return asyncio.get_running_loop().time()


async def test_every_request_of_the_timetable_is_made() -> None:
    made: list[float] = []

    async def request() -> None:
        made.append(loop_time())

    found = await offer(request, rate=100, seconds=2, timer=loop_time)

    assert len(made) == len(found.latencies_ms) == 200
    assert made == pytest.approx([number / 100 for number in range(200)], abs=2 * TICK_S)
    assert (found.refused, found.peak) == (0, 1)


async def test_a_short_timetable_has_one_request() -> None:
    async def request() -> None:
        pass

    assert len((await offer(request, rate=1, seconds=0.1, timer=loop_time)).latencies_ms) == 1


async def test_requests_do_not_wait_for_each_other() -> None:
    async def request() -> None:
        await asyncio.sleep(1)

    found = await offer(request, rate=100, seconds=2, timer=loop_time)

    assert found.latencies_ms == pytest.approx([1000] * 200, abs=2 * TICK_MS)
    assert found.peak == pytest.approx(100, abs=1)
    assert found.elapsed_s == pytest.approx(2.99, abs=2 * TICK_S)


async def test_what_waits_in_a_queue_has_waited_since_it_was_due() -> None:
    one_at_a_time = asyncio.Semaphore(1)

    async def request() -> None:
        async with one_at_a_time:
            await asyncio.sleep(0.010)

    found = await offer(request, rate=200, seconds=1, timer=loop_time)

    # Each takes 10 ms and the next is due after 5: the k-th is done 5 ms later than the one before.
    expected = [10 + 5 * number for number in range(200)]
    assert found.latencies_ms == pytest.approx(expected, abs=3 * TICK_MS)


async def test_a_loop_that_stands_still_makes_requests_late_not_fewer() -> None:
    stalled = False

    async def request() -> None:
        nonlocal stalled
        if not stalled:
            stalled = True
            stall.offset_s += 0.5

    stall = Stall()
    found = await offer(request, rate=100, seconds=1, timer=stall.time)

    late = [latency for latency in found.latencies_ms if latency > 100]
    assert len(found.latencies_ms) == 100
    assert len(late) == pytest.approx(40, abs=2)
    assert max(found.latencies_ms) == pytest.approx(500, abs=3 * TICK_MS)


async def test_what_is_refused_is_counted_and_has_no_latency() -> None:
    under_way = 0

    async def request() -> None:
        nonlocal under_way
        if under_way >= 10:
            raise OverloadedError("full")
        under_way += 1
        await asyncio.sleep(1)
        under_way -= 1

    found = await offer(request, rate=100, seconds=1, timer=loop_time)

    assert (len(found.latencies_ms), found.refused) == (10, 90)
    assert found.peak == 11


async def test_another_error_is_not_swallowed() -> None:
    async def request() -> None:
        raise LookupError

    with pytest.raises(ExceptionGroup):
        await offer(request, rate=10, seconds=1, timer=loop_time)


@dataclass
class Stall:
    """Time of the loop, and of what held it up."""

    offset_s: float = 0.0

    def time(self) -> float:
        return loop_time() + self.offset_s


async def test_an_idle_loop_has_no_lag() -> None:
    async with LagProbe(loop_time) as probe:
        await asyncio.sleep(1)

    assert len(probe.lags_ms) == pytest.approx(1000, abs=2)
    assert max(probe.lags_ms) == pytest.approx(0, abs=1e-6)


async def test_a_loop_that_is_held_up_lags() -> None:
    stall = Stall()
    async with LagProbe(stall.time) as probe:
        await asyncio.sleep(0.5)
        stall.offset_s += 0.25
        await asyncio.sleep(0.5)

    assert max(probe.lags_ms) == pytest.approx(250, abs=TICK_MS)
    assert sorted(probe.lags_ms)[-2] == pytest.approx(0, abs=1e-6)


async def test_the_probe_ends_with_its_context_whatever_happened() -> None:
    probe = LagProbe(loop_time)
    with pytest.raises(LookupError):
        async with probe:
            raise LookupError
    noted = len(probe.lags_ms)

    await asyncio.sleep(1)

    assert len(probe.lags_ms) == noted
