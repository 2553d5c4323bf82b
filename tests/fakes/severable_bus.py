"""A `MemoryBus` whose broker can go away and come back."""

from dataclasses import dataclass

from svc_core.errors import BusError
from svc_core.ports.bus import StoredMessage
from tests.fakes.memory_bus import MemoryBus


@dataclass
class SeverableBus(MemoryBus):
    """While `is_severed`, nothing can be published or read."""

    is_severed: bool = False

    async def publish(self, topic: str, payload: bytes, *, message_id: str) -> bool:
        """Store one message, if the broker is there."""
        self._reach()
        return await super().publish(topic, payload, message_id=message_id)

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

    def _reach(self) -> None:
        if self.is_severed:
            raise BusError("NATS is away")
