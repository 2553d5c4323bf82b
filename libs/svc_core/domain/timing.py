"""Latency and gaps of one run, from the instants at which answers came."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import ceil
from typing import Final

from svc_core.domain.journal_records import unix_ns
from svc_core.domain.load_order import LoadOrder

NS_PER_MS: Final = 1_000_000
_QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}


@dataclass(frozen=True, slots=True)
class SwapWindow:
    """A time during which someone moved to new certificates."""

    who: str
    began_at: datetime
    ended_at: datetime

    def overlaps(self, order: LoadOrder) -> bool:
        """Say whether load was on during a part of it."""
        return self.began_at <= order.ends_at and self.ended_at >= order.starts_at


def quantiles(ascending_ms: Sequence[float]) -> dict[str, float | None]:
    """Return p50, p99, p999 and max by nearest rank; None for each when there is nothing."""
    count = len(ascending_ms)
    return {
        name: round(ascending_ms[max(0, ceil(share * count) - 1)], 3) if count else None
        for name, share in _QUANTILES.items()
    }


def answer_line(answered_ns: Iterable[int], order: LoadOrder) -> list[int]:
    """Return the instants between which gaps are measured, in nanoseconds, ascending.

    They are the start of the load, every answer up to the first one after its end, and that end
    itself when no answer came after it.
    """
    starts, ends = unix_ns(order.starts_at), unix_ns(order.ends_at)
    answers = sorted(at_ns for at_ns in answered_ns if at_ns > starts)
    within = answers[: bisect_left(answers, ends) + 1]
    closed = bool(within) and within[-1] >= ends
    return [starts, *within] if closed else [starts, *within, ends]


def longest_gap_during_ms(line: Sequence[int], swaps: Iterable[SwapWindow]) -> float | None:
    """Return the longest gap of ``line`` that touches one of ``swaps``; None without a swap."""
    longest: float | None = None
    for swap in swaps:
        first = max(0, bisect_left(line, unix_ns(swap.began_at)) - 1)
        last = bisect_right(line, unix_ns(swap.ended_at))
        longest = max(longest or 0.0, longest_gap_ms(line[first : last + 1]))
    return longest


def longest_gap_ms(line: Sequence[int]) -> float:
    """Return the longest time between two neighbours of ``line``."""
    return round(
        max((after - before for before, after in pairwise(line)), default=0) / NS_PER_MS, 3
    )
