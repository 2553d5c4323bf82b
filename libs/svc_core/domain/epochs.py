"""Epochs: the shared vocabulary of every rotation.

A key epoch and a CA epoch number the periods since 1970; both sides of a connection compute the
same number from the same clock, within the tolerated skew.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """One rotation period; number 0 began at 1970-01-01T00:00Z."""

    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError(f"epoch number must be >= 0, got {self.number}")

    @classmethod
    def at(cls, now: datetime, *, period: timedelta) -> Self:
        """Return the epoch that contains ``now``."""
        return cls((now - UNIX_EPOCH) // period)

    def start(self, *, period: timedelta) -> datetime:
        """Return the first instant of this epoch."""
        return UNIX_EPOCH + self.number * period

    def next(self) -> Self:
        """Return the epoch that follows."""
        return type(self)(self.number + 1)

    def __str__(self) -> str:
        return str(self.number)


@dataclass(frozen=True, slots=True)
class EpochSchedule:
    """How long one epoch lasts and how long what was made in it stays valid."""

    period: timedelta
    validity: timedelta

    def __post_init__(self) -> None:
        if self.period <= timedelta(0):
            raise ValueError("period must be positive")
        if self.validity != 4 * self.period:
            raise ValueError(
                f"validity must be four times the period: {self.validity} is not 4 x {self.period}"
            )

    @property
    def lead(self) -> timedelta:
        """How long before a boundary the successor is made: a quarter period, at most 5 min."""
        return min(timedelta(minutes=5), self.period / 4)

    def current(self, now: datetime) -> Epoch:
        """Return the epoch that contains ``now``."""
        return Epoch.at(now, period=self.period)

    def due(self, now: datetime) -> Epoch:
        """Return the newest epoch whose lead has begun."""
        return Epoch.at(now + self.lead, period=self.period)

    def starts(self, epoch: Epoch) -> datetime:
        """Return the boundary at which ``epoch`` begins."""
        return epoch.start(period=self.period)

    def expires(self, epoch: Epoch) -> datetime:
        """Return the instant at which what was made for ``epoch`` is no longer valid."""
        return epoch.start(period=self.period) + self.validity
