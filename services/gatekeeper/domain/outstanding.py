"""Which requests wait for their answer, and since when they were due."""

from collections import OrderedDict
from datetime import datetime
from typing import Final

_CAPACITY: Final = 100_000


class Outstanding:
    """Bounded memory of requests without an answer; the oldest are forgotten first."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._due: OrderedDict[str, datetime] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def began(self, request_id: str, due_at: datetime) -> None:
        """Note a request that was due at ``due_at``."""
        self._due[request_id] = due_at
        if len(self._due) > self._capacity:
            self._due.popitem(last=False)

    def ended(self, request_id: str) -> datetime | None:
        """Forget the request and return when it was due, or None for one not remembered."""
        return self._due.pop(request_id, None)
