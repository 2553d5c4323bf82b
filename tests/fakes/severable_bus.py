"""A `MemoryBus` whose broker can go away and come back."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from svc_core.errors import BusError, UnacknowledgedError
from svc_core.ports.bus import StoredMessage
from svc_core.runtime.backoff import Backoff
from tests.fakes.memory_bus import MemoryBus

_AGAIN: Final = Backoff(timedelta(milliseconds=50), timedelta(milliseconds=200))


@dataclass
class SeverableBus(MemoryBus):
    """While `is_severed`, nothing can be published or read."""

    is_severed: bool = False
    is_deaf: bool = False
    """While this is so, what is published is stored and nobody hears of it."""
    patience: timedelta = timedelta(0)
    """How long a publish is repeated; 0: it fails at once."""
    _lanes: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def publish(
        self, topic: str, payload: bytes, *, message_id: str, ordering_key: str = ""
    ) -> bool:
        """Store one message as soon as the broker is there."""
        if not self.patience:
            self._reach()
            return await super().publish(topic, payload, message_id=message_id)
        async with self._turn(ordering_key):
            return await self._publish_patiently(topic, payload, message_id)

    async def send(self, subject: str, payload: bytes) -> None:
        """Hand a live message on, if the broker is there."""
        self._reach()
        await super().send(subject, payload)

    async def fetch_last(self, stream: str, topic: str) -> StoredMessage | None:
        """Return the last message on ``topic``, if the broker is there."""
        self._reach()
        return await super().fetch_last(stream, topic)

    async def fetch_last_matching(self, stream: str, pattern: str) -> tuple[StoredMessage, ...]:
        """Return the last messages that match ``pattern``, if the broker is there."""
        self._reach()
        return await super().fetch_last_matching(stream, pattern)

    async def _publish_patiently(self, topic: str, payload: bytes, message_id: str) -> bool:
        is_in_doubt = False
        try:
            async with asyncio.timeout(self.patience.total_seconds()):
                for delay in _AGAIN:
                    if not self.is_severed:
                        stored = await super().publish(topic, payload, message_id=message_id)
                        if not self.is_deaf:
                            return stored
                        is_in_doubt = True
                    await asyncio.sleep(delay.total_seconds())
        except TimeoutError as err:
            reason = f"no acknowledgement on {topic}"
            raise (UnacknowledgedError if is_in_doubt else BusError)(reason) from err
        raise BusError("NATS is away")

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[None]:
        if not key:
            yield
            return
        async with self._lanes[key]:
            yield

    def _reach(self) -> None:
        if self.is_severed:
            raise BusError("NATS is away")
