import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

import pytest
import structlog

from svc_core.errors import (
    BusError,
    Disposition,
    LoopExitedError,
    MalformedMessageError,
    SecretStoreError,
    SvcError,
)
from svc_core.runtime.backoff import Backoff
from svc_core.runtime.supervision import run_until, supervise

SECONDS = Backoff(timedelta(seconds=1), timedelta(seconds=8))


class ScriptedLoop:
    """Plays one step per run and notes when each run began; after the last it waits for ever."""

    def __init__(self, *steps: Callable[[], object], name: str = "scripted") -> None:
        self.name = name
        self.starts: list[float] = []
        self.is_closed = False
        self._steps = iter(steps)

    async def run(self) -> None:
        self.starts.append(asyncio.get_running_loop().time())
        try:
            step = next(self._steps, None)
            if step is None:
                await asyncio.Event().wait()
            elif asyncio.iscoroutine(result := step()):
                await result
        finally:
            self.is_closed = True


def failing(error: BaseException) -> Callable[[], object]:
    def step() -> object:
        raise error

    return step


def stop_after(delay_s: float) -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(delay_s, stop.set)
    return stop


class BrokenError(SvcError):
    """An error that ends a process."""

    code = "test.broken"
    disposition: ClassVar[Disposition] = Disposition.FATAL


async def test_retryable_errors_restart_the_loop_after_growing_delays(looptime: object) -> None:
    loop = ScriptedLoop(*[failing(BusError("away"))] * 3)

    await run_until(stop_after(100), [loop], SECONDS)

    assert loop.starts == [0, 1, 3, 7]
    assert looptime == 100


async def test_the_delays_start_over_after_a_healthy_spell() -> None:
    async def healthy_then_away() -> None:
        await asyncio.sleep(20)
        raise BusError("away")

    away = failing(BusError("away"))
    loop = ScriptedLoop(away, away, healthy_then_away, away)

    await run_until(stop_after(100), [loop], SECONDS)

    assert loop.starts == [0, 1, 3, 24, 26]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(BrokenError("no"), id="fatal"),
        pytest.param(MalformedMessageError("no"), id="rejected input that nobody handled"),
        pytest.param(ZeroDivisionError("bug"), id="bug"),
    ],
)
async def test_any_other_error_ends_the_group_as_itself(error: Exception) -> None:
    sibling = ScriptedLoop(name="sibling")

    with pytest.raises(type(error)) as caught:
        await run_until(asyncio.Event(), [sibling, ScriptedLoop(failing(error))], SECONDS)

    assert caught.value is error
    assert sibling.is_closed


async def test_an_error_keeps_its_own_cause() -> None:
    cause = OSError("disk")
    error = BrokenError("no")
    error.__cause__ = cause

    with pytest.raises(BrokenError) as caught:
        await run_until(asyncio.Event(), [ScriptedLoop(failing(error))], SECONDS)

    assert caught.value.__cause__ is cause


async def test_a_loop_that_returns_is_a_bug() -> None:
    with pytest.raises(LoopExitedError, match="'short' returned"):
        await run_until(asyncio.Event(), [ScriptedLoop(lambda: None, name="short")], SECONDS)


async def test_a_group_inside_a_loop_is_retried_when_all_of_it_may_be() -> None:
    group = BaseExceptionGroup("inner", [BusError("away"), SecretStoreError("away")])
    loop = ScriptedLoop(failing(group))

    await run_until(stop_after(5), [loop], SECONDS)

    assert loop.starts == [0, 1]


async def test_a_group_inside_a_loop_ends_with_the_error_no_retry_can_mend() -> None:
    fatal = BrokenError("no")
    group = BaseExceptionGroup("outer", [BusError("away"), ExceptionGroup("inner", [fatal])])

    with pytest.raises(BrokenError) as caught:
        await run_until(asyncio.Event(), [ScriptedLoop(failing(group))], SECONDS)

    assert caught.value is fatal


async def test_a_stop_lets_loops_finish_what_they_began(looptime: object) -> None:
    finished = asyncio.Event()

    async def busy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(3)
            finished.set()

    await run_until(stop_after(10), [ScriptedLoop(busy)], SECONDS, drain=timedelta(seconds=5))

    assert finished.is_set()
    assert looptime == 13


async def test_a_failing_sibling_lets_loops_finish_what_they_began() -> None:
    finished = asyncio.Event()

    async def busy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(3)
            finished.set()

    async def fail_later() -> None:
        await asyncio.sleep(1)
        raise BrokenError("no")

    with pytest.raises(BrokenError):
        await run_until(asyncio.Event(), [ScriptedLoop(busy), ScriptedLoop(fail_later)], SECONDS)

    assert finished.is_set()


async def test_a_loop_that_does_not_finish_in_time_is_cut(looptime: object) -> None:
    async def stuck() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1000)

    loops = [ScriptedLoop(stuck, name="stuck")]
    with structlog.testing.capture_logs() as events:
        await run_until(stop_after(10), loops, SECONDS, drain=timedelta(seconds=5))

    assert looptime == 15
    assert events == [
        {"event": "loop.drain_exceeded", "loop": "stuck", "drain_s": 5.0, "log_level": "error"}
    ]


async def test_cancelling_the_caller_is_a_shutdown_too() -> None:
    loop = ScriptedLoop()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_until(asyncio.Event(), [loop], SECONDS))
        await asyncio.sleep(1)

        task.cancel()

    assert task.cancelled()
    assert loop.is_closed


async def test_the_same_trouble_is_a_warning_once() -> None:
    away = failing(BusError("away"))
    loop = ScriptedLoop(away, away, failing(SecretStoreError("away too")))

    with structlog.testing.capture_logs() as events:
        await run_until(stop_after(100), [loop], SECONDS)

    assert [(event["code"], event["log_level"]) for event in events] == [
        ("dependency.nats", "warning"),
        ("dependency.nats", "debug"),
        ("dependency.openbao", "warning"),
    ]
    assert events[0] == {
        "event": "loop.interrupted",
        "loop": "scripted",
        "code": "dependency.nats",
        "reason": "away",
        "retry_in_s": 1.0,
        "log_level": "warning",
    }


async def test_each_interruption_is_reported_to_the_caller() -> None:
    seen: list[tuple[str, str]] = []
    loop = ScriptedLoop(failing(BusError("away")), lambda: None)

    with pytest.raises(LoopExitedError):
        await supervise(loop, SECONDS, lambda name, error: seen.append((name, error.code)))

    assert seen == [("scripted", "dependency.nats")]


class _TimedOutWhenStopped:
    """Its own time-out fires in the very instant of the stop and swallows the cancellation."""

    name = "timed_out_when_stopped"

    async def run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await asyncio.Event().wait()


async def test_a_stop_in_the_instant_of_a_loops_own_time_out_is_not_lost() -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.call_later(3.0, stop.set)

    await run_until(stop, [_TimedOutWhenStopped()], drain=timedelta(seconds=5))

    assert loop.time() < 3.5
