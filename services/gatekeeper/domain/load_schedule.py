"""What to do about the next request of a load order.

A sender that is late by more than a second skips what it missed: a burst that nobody asked for
would measure something else.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from svc_core.domain.load_order import LoadOrder

MAX_LAG: Final = timedelta(seconds=1)
"""A sender that is later than this skips."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due for this long."""

    delay: timedelta


@dataclass(frozen=True, slots=True)
class Skip:
    """Leave out this many requests: they are too late."""

    count: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send the next request now; it was due at ``due_at``."""

    due_at: datetime


@dataclass(frozen=True, slots=True)
class Finish:
    """The order is carried out."""


def plan_next(order: LoadOrder, index: int, *, now: datetime) -> Wait | Skip | Send | Finish:
    """Say what to do about request ``index``, the first one not sent or skipped yet."""
    if index >= order.total:
        return Finish()
    due = order.due_at(index)
    if now < due:
        return Wait(due - now)
    if now - due > MAX_LAG:
        return Skip(min(order.index_at(now), order.total) - index)
    return Send(due)
