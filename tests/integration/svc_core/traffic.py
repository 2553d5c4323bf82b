"""A numbered stream of messages from one user to another, and what became of each."""

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from svc_core.domain.subjects import AUTH_DURABLE, AUTH_REQUEST, AUTH_STREAM
from svc_core.ports.bus import Binding, Bus, Delivery

BINDING: Final = Binding(AUTH_STREAM, AUTH_DURABLE)


def report(**figures: float) -> None:
    """Say what was measured; pytest shows it with ``-rP``."""
    sys.stdout.write(f"{figures}\n")


@dataclass
class Traffic:
    """Publishes at a steady rate and takes note of what arrives."""

    run: str
    acked: list[str] = field(default_factory=list)
    handled: Counter[str] = field(default_factory=Counter)
    arrived_at: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(
        self, bus: Bus, count: int, *, rate: float, until: asyncio.Event | None = None
    ) -> None:
        """Publish messages, each when it is due, whatever became of the others.

        ``count`` of them, and then more until ``until`` is set.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for index in itertools.count():
                if index >= count and (until is None or until.is_set()):
                    return
                await asyncio.sleep(max(0.0, began + index / rate - loop.time()))
                group.create_task(self._publish_one(bus, f"{self.run}-{index}"))

    async def _publish_one(self, bus: Bus, message_id: str) -> None:
        await bus.publish(AUTH_REQUEST, message_id.encode(), message_id=message_id)
        self.acked.append(message_id)

    async def handle(self, delivery: Delivery) -> None:
        """Take note of one delivery; those of other runs are passed over."""
        message_id = delivery.payload.decode(errors="replace")
        if message_id.startswith(self.run):
            self.handled[message_id] += 1
            self.arrived_at.append(asyncio.get_running_loop().time())
            self._news.set()

    async def refuse(self, delivery: Delivery, error: Exception) -> None:
        """Take note of one refusal."""
        self.refused.append(f"{delivery.payload.decode(errors='replace')}: {error}")

    @asynccontextmanager
    async def consumed(self, bus: Bus, binding: Binding = BINDING) -> AsyncIterator[None]:
        """Consume meanwhile."""
        async with asyncio.TaskGroup() as group:
            consumer = group.create_task(bus.consume(binding, self.handle, self.refuse))
            try:
                yield
            finally:
                consumer.cancel()

    async def wait_for(self, count: int, *, within_s: float) -> None:
        """Wait until so many different messages were handled."""
        async with asyncio.timeout(within_s):
            while len(self.handled) < count:
                self._news.clear()
                await self._news.wait()

    @property
    def lost(self) -> set[str]:
        """What the broker acknowledged and nobody ever got."""
        return set(self.acked) - set(self.handled)

    @property
    def doubled(self) -> list[str]:
        """What was handled more than once."""
        return [message_id for message_id, times in self.handled.items() if times > 1]

    def longest_gap_ms(self) -> float:
        """Return the longest time between two arrivals."""
        gaps = (after - before for before, after in pairwise(sorted(self.arrived_at)))
        return round(max(gaps, default=0.0) * 1000, 1)
