"""Several ways to the same thing, begun one after the other: the first that works is taken.

RFC 8305 ("Happy Eyeballs") does the same with addresses: whoever answers nothing costs a head start
and not a whole time-out, and whoever answers as usual is raced by nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Generic, TypeVar

from svc_core.errors import SvcError

T = TypeVar("T")


async def first_success(
    attempts: Sequence[Callable[[], Awaitable[T]]],
    *,
    head_start: timedelta,
    discard: Callable[[T], None],
) -> T:
    """Return the first result; whoever still tries then is cancelled.

    Args:
        attempts: at least one, the preferred first. Each begins a head start after the one before,
            or at once when that one fails.
        head_start: how long one is waited for before the next begins.
        discard: is given every result that comes too late, or belongs to a cancelled call.

    Raises:
        SvcError: every attempt has failed; the error of the last.
    """
    race: _Race[T] = _Race()
    try:
        async with asyncio.TaskGroup() as group:
            await race.run(attempts, head_start, group)
    except BaseException:
        race.discard(discard, kept=0)
        raise
    race.discard(discard, kept=1)
    if not race.results:
        raise race.errors[-1]
    return race.results[0]


class _Race(Generic[T]):
    """What became of the attempts so far."""

    def __init__(self) -> None:
        self.results: list[T] = []
        self.errors: list[SvcError] = []
        self._news = asyncio.Event()

    async def run(
        self,
        attempts: Sequence[Callable[[], Awaitable[T]]],
        head_start: timedelta,
        group: asyncio.TaskGroup,
    ) -> None:
        """Begin one after the other until one has worked or all have failed; cancel the rest."""
        tasks = []
        for attempt in attempts:
            tasks.append(group.create_task(self._enter(attempt)))
            await self._news_within(head_start)
            if self.results:
                break
        while not self.results and len(self.errors) < len(tasks):
            await self._news_within(None)
        for task in tasks:
            task.cancel()

    def discard(self, discard: Callable[[T], None], *, kept: int) -> None:
        """Discard all results but the first ``kept``."""
        for result in self.results[kept:]:
            discard(result)

    async def _enter(self, attempt: Callable[[], Awaitable[T]]) -> None:
        try:
            self.results.append(await attempt())
        except SvcError as err:
            self.errors.append(err)
        self._news.set()

    async def _news_within(self, limit: timedelta | None) -> None:
        """Wait until one more attempt has ended, at most so long."""
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if limit is None else limit.total_seconds()):
                await self._news.wait()
