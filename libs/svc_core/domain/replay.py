"""What was seen before: PENDING is work to do again, DONE is work not to repeat.

Redelivery and replay look alike on the wire. A message whose work has begun but not ended may be
delivered again and is processed again; one whose work is done is acknowledged and nothing else.
State is bounded, and forgotten once a message would be refused for its age anyway. Keeping it over
a restart is the caller's: it replays its journal through `ReplayWindow.finish`.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from heapq import heappop, heappush
from typing import Final

from svc_core.domain.identity import ServiceName
from svc_core.errors import ReplayWindowFullError

MessageKey = tuple[ServiceName, str]
"""Signer and message id; ids are unique per signer only."""

_PENDING_FOR: Final = timedelta(minutes=5)


class Verdict(Enum):
    """What to do with a delivery."""

    NEW = "new"
    """Never seen: process it."""
    PENDING = "pending"
    """Begun before and not done: process it again."""
    DONE = "done"
    """Done before: acknowledge it, do nothing."""


@dataclass(slots=True)
class _Entry:
    is_done: bool
    keep_until: datetime


@dataclass(slots=True)
class ReplayWindow:
    """The messages one durable consumer has seen; not safe for threads."""

    capacity: int = 1_000_000
    """Most messages remembered at a time; about 400 bytes each."""
    pending_for: timedelta = _PENDING_FOR
    """After this time a begun message that nobody finished counts as never seen."""
    _entries: dict[MessageKey, _Entry] = field(default_factory=dict, repr=False)
    _expiries: list[tuple[datetime, MessageKey]] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, key: MessageKey, now: datetime) -> Verdict:
        """Say what to do with a delivery of ``key`` and remember that its work has begun.

        Raises:
            ReplayWindowFullError: ``capacity`` messages are remembered and none may be forgotten.
        """
        self.prune(now)
        entry = self._entries.get(key)
        if entry is not None and entry.is_done:
            return Verdict.DONE
        if entry is None and len(self._entries) >= self.capacity:
            raise ReplayWindowFullError(f"{self.capacity} messages are remembered")
        if entry is not None:
            return Verdict.PENDING
        self._remember(key, _Entry(is_done=False, keep_until=now + self.pending_for))
        return Verdict.NEW

    def finish(self, key: MessageKey, now: datetime, keep_until: datetime) -> None:
        """Remember until ``keep_until`` that the work of ``key`` is done, begun here or not.

        Never refused, not even above ``capacity``: forgetting done work would repeat it.
        """
        if keep_until > now:
            self._remember(key, _Entry(is_done=True, keep_until=keep_until))
        else:
            self._entries.pop(key, None)

    def forget(self, key: MessageKey) -> None:
        """Drop a begun message that was refused, so that it takes no room."""
        entry = self._entries.get(key)
        if entry is not None and not entry.is_done:
            del self._entries[key]

    def prune(self, now: datetime) -> None:
        """Forget everything whose time is over; costs only what is forgotten."""
        while self._expiries and self._expiries[0][0] <= now:
            keep_until, key = heappop(self._expiries)
            entry = self._entries.get(key)
            # An entry that was renewed has a later expiry of its own in the heap.
            if entry is not None and entry.keep_until == keep_until:
                del self._entries[key]

    def _remember(self, key: MessageKey, entry: _Entry) -> None:
        self._entries[key] = entry
        heappush(self._expiries, (entry.keep_until, key))
