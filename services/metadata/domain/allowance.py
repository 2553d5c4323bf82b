"""A bounded number of tries, which come back with time: no flood may cost more than that."""

from dataclasses import dataclass


@dataclass(slots=True)
class Allowance:
    """So many tries at once, and so many more per second; time is passed in."""

    most: int
    per_second: float
    _left: float = -1.0
    _as_of: float = 0.0

    def take(self, now: float) -> bool:
        """Use up one try at ``now`` (monotonic seconds); return False if none is left."""
        if self._left < 0:
            self._left, self._as_of = float(self.most), now
        gained = max(now - self._as_of, 0.0) * self.per_second
        self._left, self._as_of = min(self._left + gained, float(self.most)), now
        if self._left < 1:
            return False
        self._left -= 1
        return True
