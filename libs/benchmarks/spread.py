"""Percentiles, and the spread of a figure over the repeats of one run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of ``values`` lie, interpolated between neighbours.

    Args:
        values: in any order, at least one.
        share: 0 to 1; 0.5 is the median.

    Raises:
        ValueError: there are no values, or ``share`` is out of range.
    """
    if not values:
        raise ValueError("a percentile of nothing")
    if not 0 <= share <= 1:
        raise ValueError(f"a share is between 0 and 1, not {share}")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over all repeats; the unit is that of the values."""

    median: float
    p10: float
    p90: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of ``values``, one per repeat.

        Raises:
            ValueError: there are none.
        """
        return cls(
            median=percentile(values, 0.5),
            p10=percentile(values, 0.1),
            p90=percentile(values, 0.9),
            least=min(values),
            most=max(values),
        )
