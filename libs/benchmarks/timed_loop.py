"""Measures time, and runs one operation again and again with next to no cost of its own."""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import repeat
from typing import Final

from benchmarks.rounds import Slice

Operation = Callable[[], object]
Timer = Callable[[], float]

_CHUNK_S: Final = 0.001
_LARGEST_CHUNK: Final = 4096


class Stopwatch:
    """Wall time and processor time since it was made."""

    def __init__(self) -> None:
        self._wall_s = time.perf_counter()
        self._cpu_s = time.process_time()

    @property
    def wall_s(self) -> float:
        """Seconds on the wall."""
        return time.perf_counter() - self._wall_s

    def slice(self, count: int) -> Slice:
        """Return ``count`` operations done since then, by the wall."""
        wall_s = self.wall_s
        return Slice(count, wall_s, wall_s, time.process_time() - self._cpu_s)


class TimedLoop:
    """One operation and how many of it fit into about a millisecond.

    The clock is read once per such chunk, so that operations of less than a microsecond are not
    measured together with it.
    """

    def __init__(self, operation: Operation, timer: Timer = time.thread_time) -> None:
        """Hold ``operation``.

        Args:
            operation: called without arguments; it must not wait for anything.
            timer: seconds; by default processor time of this thread, which other programs on the
                machine do not use up.
        """
        self._operation = operation
        self._timer = timer
        self._chunk = 1

    def run(self, seconds: float) -> Slice:
        """Return what was done until ``seconds`` were over; at least one operation."""
        operation, timer = self._operation, self._timer
        count, watch = 0, Stopwatch()
        began = timer()
        while True:
            for _ in repeat(None, self._chunk):
                operation()
            count += self._chunk
            elapsed = timer() - began
            if elapsed >= seconds:
                return replace(watch.slice(count), timed_s=elapsed)
            if elapsed / count * self._chunk < _CHUNK_S / 2 and self._chunk < _LARGEST_CHUNK:
                self._chunk *= 2
