"""Saying something every so many times."""

from dataclasses import dataclass


@dataclass(slots=True)
class Milestones:
    """Answers whether a growing count has passed the next multiple of ``step`` worth telling."""

    step: int = 100
    _last: int = 0

    def reached(self, count: int) -> bool:
        """Say whether ``count`` grew by at least ``step`` since this last was true."""
        if count - self._last < self.step:
            return False
        self._last = count
        return True
