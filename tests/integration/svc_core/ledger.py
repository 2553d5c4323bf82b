"""Traffic between two services of which every message is accounted for, and swaps under it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import pytest

from svc_core.adapters.nats_connection import NatsConnection
from svc_core.domain.subjects import AUTH_REQUEST
from svc_core.errors import BusError, SvcError
from svc_core.ports.bus import Bus, Delivery
from tests.integration.svc_core.faulty_cluster import FaultyCluster
from tests.integration.svc_core.traffic import BINDING

RATE: Final = 200.0
RECOVERS_WITHIN_S: Final = 20.0
"""An election, or the patience of the broker with a consumer that is gone, and the backlog."""


@dataclass
class Ledger:
    """What was published, acknowledged and delivered, by message id."""

    run: str
    acked: set[str] = field(default_factory=set)
    failed: Counter[str] = field(default_factory=Counter)
    """Publishes that were given up, by code."""
    stored: dict[str, set[int]] = field(default_factory=dict)
    """Sequences under which each id was delivered."""
    deliveries: int = 0
    refused: list[str] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish_one(self, bus: Bus) -> str:
        name = f"{self.run}-{next(self._numbers)}"
        try:
            await bus.publish(AUTH_REQUEST, name.encode(), message_id=name)
        except SvcError as err:
            self.failed[err.code] += 1
        else:
            self.acked.add(name)
            self._news.set()
        return name

    async def handle(self, delivery: Delivery) -> None:
        name = delivery.payload.decode(errors="replace")
        if name.startswith(self.run):
            self.deliveries += 1
            self.stored.setdefault(name, set()).add(delivery.sequence)
            self._news.set()

    async def refuse(self, delivery: Delivery, error: Exception) -> None:
        self.refused.append(f"{delivery.subject}: {error}")

    async def until(self, condition: Callable[[], bool], *, what: str) -> None:
        try:
            async with asyncio.timeout(RECOVERS_WITHIN_S):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pytest.fail(f"not within {RECOVERS_WITHIN_S:g} s: {what}; {self}")

    @property
    def lost(self) -> set[str]:
        return self.acked - self.stored.keys()

    @property
    def doubled(self) -> set[str]:
        return {name for name, sequences in self.stored.items() if len(sequences) > 1}

    def __str__(self) -> str:
        return (
            f"acknowledged {len(self.acked)}, given up {dict(self.failed)}, delivered "
            f"{len(self.stored)} in {self.deliveries}, lost {len(self.lost)}"
        )


@dataclass
class Scene:
    """Two services on the cluster, with their traffic under way."""

    cluster: FaultyCluster
    gatekeeper: NatsConnection
    authcontroller: NatsConnection
    ledger: Ledger
    swaps_failed: Counter[str] = field(default_factory=Counter)

    @property
    def swaps(self) -> int:
        return self.gatekeeper.swaps + self.authcontroller.swaps

    async def swap_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for connection in (self.gatekeeper, self.authcontroller):
                try:
                    await connection.swap()
                except BusError as err:
                    self.swaps_failed[err.code] += 1
                # Lets whatever else wants the connection have its turn, between swaps as in life.
                await asyncio.sleep(0.1)


@asynccontextmanager
async def traffic(scene: Scene) -> AsyncIterator[None]:
    """Publish at a steady rate and consume meanwhile; at the end every publish has its outcome."""
    ledger = scene.ledger
    stop = asyncio.Event()

    async def publish(group: asyncio.TaskGroup) -> None:
        while not stop.is_set():
            group.create_task(ledger.publish_one(scene.gatekeeper))
            with suppress(TimeoutError):
                async with asyncio.timeout(1 / RATE):
                    await stop.wait()

    async with asyncio.TaskGroup() as consuming:
        consumer = consuming.create_task(
            scene.authcontroller.consume(BINDING, ledger.handle, ledger.refuse)
        )
        async with asyncio.TaskGroup() as publishing:
            publishing.create_task(publish(publishing))
            yield
            stop.set()
        await ledger.until(lambda: not ledger.lost, what="everything acknowledged is delivered")
        consumer.cancel()


@asynccontextmanager
async def swapping(scene: Scene, when: str) -> AsyncIterator[None]:
    """Swap both connections again and again meanwhile, if this is a case of that kind."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        if "during" in when:
            group.create_task(scene.swap_until(stop))
        yield
        stop.set()
