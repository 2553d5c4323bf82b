"""`KeyRefresh`: ask for newer keys once, however many messages need them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from svc_core.errors import Disposition, KeyNotAvailableError, SvcError
from svc_core.ports.time import Clock

Refresh = Callable[[], Awaitable[None]]
"""Fetch this service's newest bundle and have the channel adopt it."""

COOL_DOWN: Final = timedelta(seconds=1)
"""Least time between the beginnings of two refreshes."""
_TIMEOUT: Final = timedelta(seconds=5)


class KeyRefresh:
    """Coalesces refreshes: concurrent callers share one, and a fresh one is not repeated."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._began_s: float | None = None
        self._failure: Exception | None = None
        self.asked_at: datetime | None = None
        """When the last refresh that succeeded began."""

    async def ask(self, refresh: Refresh) -> None:
        """Run ``refresh``, unless one began while waiting or less than `COOL_DOWN` ago.

        Raises:
            KeyNotAvailableError: the refresh, or the one just before, failed; try again later.
        """
        async with self._one_at_a_time:
            if not self._is_recent():
                await self._run(refresh)
        if self._failure is not None:
            raise KeyNotAvailableError("newer keys cannot be had now") from self._failure

    def _is_recent(self) -> bool:
        if self._began_s is None:
            return False
        return self._clock.monotonic() - self._began_s < COOL_DOWN.total_seconds()

    async def _run(self, refresh: Refresh) -> None:
        self._began_s = self._clock.monotonic()
        began_at = self._clock.now()
        try:
            async with asyncio.timeout(_TIMEOUT.total_seconds()):
                await refresh()
        except TimeoutError as err:
            self._failure = err
        except SvcError as err:
            # A bundle that had to be refused says nothing about the message that needed it.
            if err.disposition is Disposition.FATAL:
                raise
            self._failure = err
        else:
            self._failure = None
            self.asked_at = began_at
