"""Time and randomness, from outside."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

Entropy = Callable[[int], bytes]
"""Return that many unpredictable bytes."""


class Clock(Protocol):
    """Wall time and monotonic time of this machine."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""
        ...
