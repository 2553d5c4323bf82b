"""Growing delays between attempts, as a value that starts afresh each time it is iterated."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from svc_core.ports.time import Entropy

_DRAW_BYTES: Final = 4
_DRAW_RANGE: Final = 1 << (8 * _DRAW_BYTES)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double from ``first`` up to ``most`` and stay there.

    With ``entropy`` each delay is drawn evenly from its upper half, so that many instances that
    lost the same server do not all come back in the same instant.
    """

    first: timedelta
    most: timedelta
    entropy: Entropy | None = None

    def __post_init__(self) -> None:
        if not timedelta(0) < self.first <= self.most:
            raise ValueError(f"want 0 < first <= most, got {self.first} and {self.most}")

    def __iter__(self) -> Iterator[timedelta]:
        """Yield delays for ever, from the first."""
        delay = self.first
        while True:
            yield self._spread(delay)
            delay = min(delay * 2, self.most)

    def _spread(self, delay: timedelta) -> timedelta:
        if self.entropy is None:
            return delay
        draw = int.from_bytes(self.entropy(_DRAW_BYTES), "big")
        return delay / 2 + delay / 2 * (draw / _DRAW_RANGE)
