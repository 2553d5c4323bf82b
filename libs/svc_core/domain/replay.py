"""What was seen before: PENDING is work to do again, DONE is work not to repeat.

Redelivery and replay look alike on the wire. A message whose work has begun but not ended may be
delivered again and is processed again; one whose work is done is acknowledged and nothing else.
State is bounded, and forgotten once a message would be refused for its age anyway. Keeping it over
a restart is the caller's: it replays its journal through `ReplayWindow.finish`.

One id can be sealed twice, under keys of different epochs: a sender that does not know whether its
first message got through makes another. So done work is remembered until the *last* copy seen of
its message would be refused.
"""

from collections import OrderedDict
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
class ReplayWindow:
    """The messages one durable consumer has seen; not safe for threads."""

    capacity: int = 1_000_000
    """Most messages remembered at a time; about 400 bytes each."""
    pending_for: timedelta = _PENDING_FOR
    """After this time a begun message that nobody finished counts as never seen."""
    # Until when each is remembered. What is pending lives equally long, so its order is by age.
    _pending: OrderedDict[MessageKey, datetime] = field(default_factory=OrderedDict, repr=False)
    _done: dict[MessageKey, datetime] = field(default_factory=dict, repr=False)
    _expiries: list[tuple[datetime, MessageKey]] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self._pending) + len(self._done)

    def begin(
        self, key: MessageKey, now: datetime, *, keep_until: datetime | None = None
    ) -> Verdict:
        """Say what to do with a delivery of ``key`` and remember that its work has begun.

        Args:
            key: signer and message id.
            now: wall time.
            keep_until: when this copy of the message would be refused for its age. Work that is
                done is then remembered that long at least, since a copy made later lives longer.

        Raises:
            ReplayWindowFullError: ``capacity`` messages are remembered and none may be forgotten.
        """
        self.prune(now)
        if key in self._done:
            if keep_until is not None:
                self._keep(key, keep_until)
            return Verdict.DONE
        if key in self._pending:
            return Verdict.PENDING
        if len(self) >= self.capacity:
            raise ReplayWindowFullError(f"{self.capacity} messages are remembered")
        self._pending[key] = now + self.pending_for
        return Verdict.NEW

    def finish(self, key: MessageKey, now: datetime, keep_until: datetime) -> None:
        """Remember until ``keep_until`` that the work of ``key`` is done, begun here or not.

        Never refused, not even above ``capacity``, and never shortened: forgetting done work
        would repeat it.
        """
        self._pending.pop(key, None)
        if keep_until > now:
            self._keep(key, keep_until)

    def forget(self, key: MessageKey) -> None:
        """Drop a begun message that was refused, so that it takes no room."""
        self._pending.pop(key, None)

    def prune(self, now: datetime) -> None:
        """Forget everything whose time is over; costs only what is forgotten."""
        while self._pending and next(iter(self._pending.values())) <= now:
            self._pending.popitem(last=False)
        while self._expiries and self._expiries[0][0] <= now:
            keep_until, key = heappop(self._expiries)
            # Work that is kept for longer by now has a later expiry of its own in the heap.
            if self._done.get(key) == keep_until:
                del self._done[key]

    def _keep(self, key: MessageKey, keep_until: datetime) -> None:
        known = self._done.get(key)
        if known is None or known < keep_until:
            self._done[key] = keep_until
            heappush(self._expiries, (keep_until, key))
