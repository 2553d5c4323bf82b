"""Attempts that follow each other after a head start, or at once when one fails."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from svc_core.errors import BusError
from svc_core.runtime.first_success import first_success

HEAD_START = timedelta(seconds=0.5)
FOREVER = 3600.0


class Attempts:
    """Attempts that take a while and say their name, and what became of them."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, float]] = []
        self.cancelled: list[str] = []
        self.discarded: list[str] = []

    def works(self, name: str, after_s: float) -> Callable[[], Awaitable[str]]:
        return lambda: self._run(name, after_s, fails=False)

    def fails(self, name: str, after_s: float) -> Callable[[], Awaitable[str]]:
        return lambda: self._run(name, after_s, fails=True)

    def ignores_its_end(self, name: str) -> Callable[[], Awaitable[str]]:
        """Have a result in the very moment in which it is cancelled."""

        async def run() -> str:
            try:
                await asyncio.sleep(FOREVER)
            except asyncio.CancelledError:
                return name
            return name

        return run

    async def first_of(self, *attempts: Callable[[], Awaitable[str]]) -> str:
        return await first_success(attempts, head_start=HEAD_START, discard=self.discarded.append)

    async def _run(self, name: str, after_s: float, *, fails: bool) -> str:
        self.begun.append((name, now()))
        try:
            await asyncio.sleep(after_s)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        if fails:
            raise BusError(name)
        return name


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_who_answers_within_the_head_start_is_raced_by_nobody() -> None:
    attempts = Attempts()

    assert await attempts.first_of(attempts.works("a", 0.4), attempts.works("b", 0)) == "a"

    assert attempts.begun == [("a", 0)]


async def test_who_answers_nothing_costs_a_head_start() -> None:
    attempts = Attempts()

    found = await attempts.first_of(attempts.works("frozen", FOREVER), attempts.works("b", 0.1))

    assert found == "b"
    assert now() == pytest.approx(0.6)
    assert attempts.cancelled == ["frozen"]


async def test_who_is_slow_can_still_be_first() -> None:
    attempts = Attempts()

    found = await attempts.first_of(attempts.works("slow", 0.7), attempts.works("b", 0.9))

    assert found == "slow"
    assert now() == pytest.approx(0.7)
    assert attempts.cancelled == ["b"]


async def test_a_failure_is_followed_by_the_next_at_once() -> None:
    attempts = Attempts()

    found = await attempts.first_of(
        attempts.fails("a", 0.1), attempts.fails("b", 0.1), attempts.works("c", 0.1)
    )

    assert found == "c"
    assert [name for name, _ in attempts.begun] == ["a", "b", "c"]
    assert [at for _, at in attempts.begun] == pytest.approx([0, 0.1, 0.2])


async def test_when_all_fail_the_last_error_is_raised() -> None:
    attempts = Attempts()

    with pytest.raises(BusError, match="slow"):
        await attempts.first_of(attempts.fails("slow", 2), attempts.fails("b", 0.1))

    assert now() == pytest.approx(2)


async def test_what_comes_too_late_is_discarded() -> None:
    attempts = Attempts()

    found = await attempts.first_of(attempts.ignores_its_end("late"), attempts.works("b", 0.1))

    assert (found, attempts.discarded) == ("b", ["late"])


async def test_of_a_cancelled_call_nothing_is_left() -> None:
    attempts = Attempts()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.7):
            await attempts.first_of(
                attempts.ignores_its_end("late"), attempts.works("never", FOREVER)
            )

    assert (attempts.discarded, attempts.cancelled) == (["late"], ["never"])


async def test_an_attempt_that_breaks_breaks_the_call() -> None:
    attempts = Attempts()

    async def breaks() -> str:
        raise LookupError

    with pytest.raises(ExceptionGroup, match="unhandled"):
        await attempts.first_of(breaks, attempts.works("b", FOREVER))
