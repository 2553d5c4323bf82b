"""Load by a timetable.

Open loop: each request has an instant at which it is due, whatever became of those before it, and
its latency counts from then. So a system that falls behind cannot hide it by being asked less
(coordinated omission). The timetable is kept to a tick of `loop_probe`; what is late by that is
late in the figures too. The requests are made by tasks of the same event loop, as in a service.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from benchmarks.loop_probe import TICK_S, Timer
from svc_core.errors import OverloadedError

Request = Callable[[], Awaitable[object]]

_MS_PER_S: Final = 1000


@dataclass(slots=True)
class Offered:
    """What became of the requests of one timetable."""

    latencies_ms: list[float] = field(default_factory=list)
    """From due to done, of all that were not refused, in the order in which they were done."""
    refused: int = 0
    """How many met `OverloadedError`."""
    peak: int = 0
    """Most requests under way at one time."""
    elapsed_s: float = 0.0
    """From the first due instant until the last request was done."""


async def offer(
    request: Request, *, rate: float, seconds: float, timer: Timer = time.perf_counter
) -> Offered:
    """Make requests due at ``rate`` per second for ``seconds``, and wait for the last.

    Args:
        request: refuses with `OverloadedError` what is too much; every other error is raised.
        rate: requests per second, more than 0.
        seconds: length of the timetable; at least one request is made.
        timer: seconds.
    """
    total = max(1, round(rate * seconds))
    run = _Run(request, timer)
    began = timer()
    started = 0
    async with asyncio.TaskGroup() as tasks:
        while started < total:
            due = min(total, int((timer() - began) * rate) + 1)
            for number in range(started, due):
                tasks.create_task(run.make(began + number / rate))
            started = max(started, due)
            await asyncio.sleep(max(TICK_S, began + started / rate - timer()))
    run.outcome.elapsed_s = timer() - began
    return run.outcome


@dataclass(slots=True)
class _Run:
    request: Request
    timer: Timer
    outcome: Offered = field(default_factory=Offered)
    under_way: int = 0

    async def make(self, due: float) -> None:
        self.under_way += 1
        self.outcome.peak = max(self.outcome.peak, self.under_way)
        try:
            await self.request()
        except OverloadedError:
            self.outcome.refused += 1
        else:
            self.outcome.latencies_ms.append((self.timer() - due) * _MS_PER_S)
        finally:
            self.under_way -= 1
