"""`TrafficReporter`: what went through, every minute or so, and when this service was down."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.traffic_metrics import TrafficCounts, TrafficMetrics

log = structlog.get_logger()

_TICK: Final = timedelta(seconds=1)
_DOWN: Final = "Consumer downtime started reason={reason}"
_RECOVERED: Final = "Consumer service recovered downtimeMs={down_ms} reason={reason}"
_LONGEST_PERIOD: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class TrafficInterval:
    """The time since the last report."""

    before: TrafficCounts
    now: TrafficCounts
    elapsed: timedelta
    downtimes: int
    """Times this service stopped being ready since it started."""
    is_ready: bool

    def per_minute(self, read: Callable[[TrafficCounts], int]) -> float:
        """Return the rate of one counter over this interval, in messages per minute."""
        minutes = self.elapsed / timedelta(minutes=1)
        return round((read(self.now) - read(self.before)) / minutes, 1) if minutes else 0.0


Lines = Callable[[TrafficInterval], tuple[str, ...]]
"""Return the lines to log about an interval."""


class TrafficReporter:
    """The loop that logs rates once per period and each change of readiness at once."""

    name: Final = "traffic_reporting"

    def __init__(self, metrics: TrafficMetrics, lines: Lines, around: Surroundings) -> None:
        self._metrics = metrics
        self._lines = lines
        self._clock = around.clock
        self._health = around.health
        self._period_s = min(_LONGEST_PERIOD, around.profile.keys.period / 2).total_seconds()
        self._downtimes = 0
        self._down_since: float | None = None
        self._was_ready = False

    async def run(self) -> None:
        """Report for ever."""
        before, began = self._metrics.snapshot(), self._clock.monotonic()
        while True:
            await asyncio.sleep(_TICK.total_seconds())
            self._watch_readiness()
            elapsed_s = self._clock.monotonic() - began
            if elapsed_s >= self._period_s:
                now = self._metrics.snapshot()
                self._report(before, now, timedelta(seconds=elapsed_s))
                before, began = now, began + elapsed_s

    def _report(self, before: TrafficCounts, now: TrafficCounts, elapsed: timedelta) -> None:
        is_ready = self._down_since is None
        for line in self._lines(TrafficInterval(before, now, elapsed, self._downtimes, is_ready)):
            log.info(line)

    def _watch_readiness(self) -> None:
        report = self._health.report()
        now = self._clock.monotonic()
        if report.ready and self._down_since is not None:
            down_ms = round((now - self._down_since) * 1000)
            log.warning(_RECOVERED.format(down_ms=down_ms, reason="ready again"))
            self._down_since = None
        elif not report.ready and self._was_ready:
            waiting = sorted(name for name, loop in report.loops.items() if not loop.ok)
            log.warning(_DOWN.format(reason=f"not ready: {', '.join(waiting)}"))
            self._downtimes += 1
            self._down_since = now
        self._was_ready = report.ready
