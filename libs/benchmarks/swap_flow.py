"""What became of every message of one stream, and what that says about each window of time.

A window is the time between two marks. Windows with a swap and windows without take turns, so that
both see the same machine. Times are seconds of one monotonic clock.
"""

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from benchmarks.report import Percentiles
from benchmarks.spread import percentile

_MS_PER_S: Final = 1000
_NEVER: Final = math.nan


@dataclass(slots=True)
class Flow:
    """Messages by number: when each was due, acknowledged and handled."""

    due: "array[float]" = field(default_factory=lambda: array("d"))
    acked: "array[float]" = field(default_factory=lambda: array("d"))
    handled: "array[float]" = field(default_factory=lambda: array("d"))
    place: "array[int]" = field(default_factory=lambda: array("q"))
    """Where in the stream the message was that was handled first."""
    doubled: int = 0
    """Handled again from another place in the stream: stored twice."""
    redelivered: int = 0
    """Handled again from the same place: the broker did not hear that it was done."""
    failed: int = 0
    """Given up by who published them; not acknowledged, so not promised to anybody."""

    def begin(self, due: float) -> int:
        """Return the number of the next message."""
        self.due.append(due)
        self.acked.append(_NEVER)
        self.handled.append(_NEVER)
        self.place.append(0)
        return len(self.due) - 1

    def ack(self, number: int, at: float) -> None:
        """Note that the broker has message ``number``."""
        self.acked[number] = at

    def handle(self, number: int, at: float, *, place: int) -> None:
        """Note that a consumer was given message ``number``, stored under sequence ``place``."""
        if math.isnan(self.handled[number]):
            self.handled[number], self.place[number] = at, place
        elif self.place[number] == place:
            self.redelivered += 1
        else:
            self.doubled += 1

    @property
    def lost(self) -> int:
        """How many the broker acknowledged and no consumer was given."""
        pairs = zip(self.acked, self.handled, strict=True)
        return sum(math.isnan(handled) and not math.isnan(acked) for acked, handled in pairs)


@dataclass(frozen=True, slots=True)
class Window:
    """What one window shows."""

    is_swap: bool
    seconds: float
    handled: int
    gap_ms: float
    """Longest time between two messages handled, of those that began in this window."""
    ack_gap_ms: float
    """The same between two acknowledgements."""
    p50_ms: float
    """From the instant a message was due until it was handled; of those due in this window."""
    p99_ms: float


def windows_of(flow: Flow, marks: Sequence[float]) -> list[Window]:
    """Return the windows between ``marks``; the first has a swap, the second none, and so on."""
    handled = list(_by_window(sorted(at for at in flow.handled if not math.isnan(at)), marks))
    acked = list(_by_window(sorted(at for at in flow.acked if not math.isnan(at)), marks))
    latencies = latencies_ms(flow, marks)
    return [
        Window(
            is_swap=number % 2 == 0,
            seconds=end - begin,
            handled=sum(begin <= at < end for at in handled[number]),
            gap_ms=_longest_gap_ms(handled[number], begin, end),
            ack_gap_ms=_longest_gap_ms(acked[number], begin, end),
            p50_ms=percentile(latencies[number] or [_NEVER], 0.5),
            p99_ms=percentile(latencies[number] or [_NEVER], 0.99),
        )
        for number, (begin, end) in enumerate(pairwise(marks))
    ]


def latencies_ms(flow: Flow, marks: Sequence[float]) -> list[list[float]]:
    """Return, for each window, the latency of every message that was due in it and was handled."""
    found: list[list[float]] = [[] for _ in marks[1:]]
    window = 0
    for due, handled in zip(flow.due, flow.handled, strict=True):
        while window < len(found) and due >= marks[window + 1]:
            window += 1
        if window == len(found):
            break
        if due >= marks[window] and not math.isnan(handled):
            found[window].append((handled - due) * _MS_PER_S)
    return found


def pooled(latencies: Sequence[Sequence[float]], *, swap: bool) -> Percentiles | None:
    """Return the percentiles over all windows with a swap, or over all without."""
    chosen = latencies[0 if swap else 1 :: 2]
    return Percentiles.of([value for window in chosen for value in window])


def _by_window(times: Sequence[float], marks: Sequence[float]) -> Iterator[list[float]]:
    """Yield the times of each window, and the one after it where there is one."""
    position = 0
    for begin, end in pairwise(marks):
        while position < len(times) and times[position] < begin:
            position += 1
        stop = position
        while stop < len(times) and times[stop] < end:
            stop += 1
        yield list(times[position : stop + 1])
        position = stop


def _longest_gap_ms(times: Sequence[float], begin: float, end: float) -> float:
    if not times:
        return (end - begin) * _MS_PER_S
    gaps = [after - before for before, after in pairwise(times)]
    # A window that nothing arrived in is one long gap.
    return max(gaps, default=end - begin) * _MS_PER_S
