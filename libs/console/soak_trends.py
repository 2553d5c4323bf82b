"""Whether something grows from rotation to rotation: robust slopes against stated tolerances.

Pure. What is counted in the middle of each period moves up and down by one thing or another; what
matters is whether it grows in the long run. So the slope is the median of the slopes between all
pairs of samples (Theil and Sen), which a few odd samples do not move.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Final

SETTLED_AFTER: Final = 10
"""Rotations that are not looked at: caches and pools fill at first."""
LEAST_SAMPLES: Final = 30
"""Samples below which nothing is said about growth: a slope over a few minutes is noise."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much may be added from the first to the last sample that is looked at."""

    absolute: float
    share: float = 0.0
    """Of the median; the larger of both counts."""

    def of(self, middle: float) -> float:
        """Return the growth that is allowed around a median of ``middle``."""
        return max(self.absolute, self.share * middle)


COUNTED: Final = Tolerance(1, 0.05)
TOLERANCES: Final[Mapping[str, Tolerance]] = {
    "issuers": COUNTED,
    "keys": COUNTED,
    "documents": COUNTED,
    "versions": COUNTED,
    "secret-ids": COUNTED,
    "tokens": Tolerance(2),
    "files": COUNTED,
    "descriptors": Tolerance(2),
    "threads": Tolerance(2),
    "memory": Tolerance(8.0 * (1 << 20), 0.10),
}
"""By the first part of a figure's name; figures of other kinds are shown and not judged."""
KEPT: Final = frozenset({"transport/audit"})
"""Documents that are kept up to a limit of their own, which no soak reaches: not judged."""
STORED_VERSIONS: Final = 10
"""Versions that the KV store keeps of a document (its default); up to there it may grow."""


@dataclass(frozen=True, slots=True)
class Trend:
    """One figure over the run, in its own unit."""

    name: str
    first: float
    last: float
    median: float
    slope: float
    """Per rotation."""
    growth: float
    """Over all samples that were looked at, by that slope; at most what lies between any two."""
    allowed: float | None
    """None: it is shown and not judged."""

    @property
    def is_flat(self) -> bool:
        """Whether it does not grow by more than is allowed."""
        return self.allowed is None or self.growth <= self.allowed


def trend(name: str, values: Sequence[float], *, is_judged: bool = True) -> Trend:
    """Return how the figure ``name`` moved; ``values`` are one per rotation, in order.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError(f"no value of {name}")
    middle = median(values)
    slope = theil_sen(values)
    tolerance = TOLERANCES.get(name.partition("/")[0]) if is_judged else None
    return Trend(
        name,
        first=values[0],
        last=values[-1],
        median=middle,
        slope=slope,
        # Of a few steps the slope makes more than there was: 11, then 12, then 13 adds 2.
        growth=min(slope * (len(values) - 1), max(values) - min(values)),
        allowed=tolerance.of(middle) if tolerance is not None else None,
    )


def trends(samples: Sequence[Mapping[str, float]]) -> tuple[Trend, ...]:
    """Return the trend of every figure, from the rotation on at which things have settled.

    With too few samples all of them are looked at and none is judged. A figure that is missing in a
    sample counts as 0 there: what is counted may not exist yet.
    """
    is_judged = len(samples) >= LEAST_SAMPLES
    looked_at = samples[SETTLED_AFTER:] if is_judged else samples
    names = sorted({name for sample in looked_at for name in sample})
    if not is_judged:
        return tuple(trend(name, _series(name, looked_at), is_judged=False) for name in names)
    return tuple(_judged(name, looked_at) for name in names)


def _judged(name: str, samples: Sequence[Mapping[str, float]]) -> Trend:
    kind, _, what = name.partition("/")
    values = _series(name, samples)
    if what in KEPT:
        return trend(name, values, is_judged=False)
    if kind == "versions":
        kept = STORED_VERSIONS * _series(f"documents/{what}", samples)[-1]
        return trend(name, values, is_judged=max(values) > kept)
    return trend(name, values)


def _series(name: str, samples: Sequence[Mapping[str, float]]) -> list[float]:
    return [sample.get(name, 0.0) for sample in samples]


def theil_sen(values: Sequence[float]) -> float:
    """Return the median of the slopes between all pairs of ``values``; 0 for fewer than two."""
    slopes = [
        (values[later] - values[earlier]) / (later - earlier)
        for earlier in range(len(values))
        for later in range(earlier + 1, len(values))
    ]
    return median(slopes) if slopes else 0.0


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return the value at ``share`` (0 to 1) by nearest rank; None without any."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
