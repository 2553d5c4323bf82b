"""Wall time that follows loop time: under looptime a day passes in a moment."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class LoopClock:
    """A `svc_core.ports.time.Clock` whose wall time starts at ``start`` when the loop does."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start

    def now(self) -> datetime:
        """Return ``start`` plus the running loop's time."""
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Return the running loop's time in seconds."""
        return asyncio.get_running_loop().time()


class SteppedClock(LoopClock):
    """The same, ``ahead`` of it by as much as was set last; its monotonic time never steps."""

    def __init__(self, start: datetime = START) -> None:
        super().__init__(start)
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        """Return the wall time by this clock."""
        return super().now() + self.ahead
