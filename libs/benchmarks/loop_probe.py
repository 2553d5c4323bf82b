"""Watching an event loop from the inside, a millisecond at a time."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Self

Timer = Callable[[], float]

TICK_S: Final = 0.001
_MS_PER_S: Final = 1000


class LoopProbe:
    """Between entering and leaving its context, measures sleep after sleep of a millisecond."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._tasks = asyncio.TaskGroup()
        self._probing: asyncio.Task[None] | None = None
        self._spans_ms: list[float] = []

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._probing = self._tasks.create_task(self._probe())
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._probing is not None:
            self._probing.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def _probe(self) -> None:
        while True:
            began = self._timer()
            await asyncio.sleep(TICK_S)
            self._spans_ms.append((self._timer() - began) * _MS_PER_S)


class LagProbe(LoopProbe):
    """Measures how late the event loop wakes whoever waits for a time."""

    def __init__(self, timer: Timer = time.perf_counter) -> None:
        super().__init__(timer)

    @property
    def lags_ms(self) -> list[float]:
        """By how much each sleep was too long, in the order in which they were noted."""
        return [max(0.0, span - TICK_S * _MS_PER_S) for span in self._spans_ms]


class TurnProbe(LoopProbe):
    """Notes the processor time of the loop's own thread between one of its wake-ups and the next.

    What other threads and other programs use up is not in it, so a figure is the same on a busy
    machine; neither is what a thread holds up by keeping the interpreter to itself.
    """

    def __init__(self, timer: Timer = time.thread_time) -> None:
        super().__init__(timer)

    @property
    def turns_ms(self) -> list[float]:
        """In the order in which they were noted."""
        return self._spans_ms
