"""Consumers on a real durable: what they hold, how long they may take, and how they end."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from services.metadata.adapters.jetstream import JetStreamDeclaration
from svc_core.adapters.nats_connection import NatsConnection
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA
from svc_core.domain.subjects import AUTH_DURABLE, AUTH_REQUEST, AUTH_STREAM, DURABLES
from svc_core.ports.bus import Binding, Bus, Delivery
from tests.integration.bare_stack import RunningCluster
from tests.integration.connections import connected, drain

PATIENCE = timedelta(seconds=1)
RUN = f"consuming{os.getpid()}"
_numbers = iter(range(1 << 30))


@dataclass
class Work:
    """Handles messages in a given time and remembers every delivery."""

    takes_s: float = 0.0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing is finished before it is set."""
    begun: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, delivery: Delivery) -> None:
        name = delivery.payload.decode()
        self.begun.append(name)
        self.news.set()
        await asyncio.sleep(self.takes_s)
        await self.gate.wait()
        self.done.append(name)
        self.news.set()

    async def until(self, condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                self.news.clear()
                await self.news.wait()

    @asynccontextmanager
    async def consuming(self, bus: Bus, binding: Binding) -> AsyncIterator[asyncio.Task[None]]:
        async with asyncio.TaskGroup() as group:
            consumer = group.create_task(bus.consume(binding, self.handle, never))
            try:
                yield consumer
            finally:
                consumer.cancel()


async def never(_delivery: Delivery, error: Exception) -> None:
    raise AssertionError("nothing is refused here") from error


def binding(*, concurrency: int = 64, batch: int = 128) -> Binding:
    return Binding(
        AUTH_STREAM, AUTH_DURABLE, batch=batch, concurrency=concurrency, ack_wait=PATIENCE
    )


async def publish(bus: Bus, count: int) -> list[str]:
    names = [f"{RUN}-{next(_numbers)}" for _ in range(count)]
    for name in names:
        await bus.publish(AUTH_REQUEST, name.encode(), message_id=name)
    return names


async def held(metadata: NatsConnection) -> int:
    """Return how many messages the durable has delivered and not heard the end of."""
    subject = f"$JS.API.CONSUMER.INFO.{AUTH_STREAM}.{AUTH_DURABLE}"
    return int(json.loads(await metadata.request_raw(subject, b"", timeout_s=2))["num_ack_pending"])


async def becomes(observed: Callable[[], Awaitable[int]], wanted: int) -> None:
    async with asyncio.timeout(10):
        while await observed() != wanted:
            await asyncio.sleep(0.05)


@dataclass
class Scene:
    """Two services and the authority, over a durable with little patience."""

    gatekeeper: NatsConnection
    authcontroller: NatsConnection
    metadata: NatsConnection


@pytest.fixture
async def scene(declared: RunningCluster) -> AsyncIterator[Scene]:
    await drain(declared)
    requests = DURABLES[0]
    async with (
        connected(declared, GATEKEEPER) as gatekeeper,
        connected(declared, AUTHCONTROLLER) as authcontroller,
        connected(declared, METADATA) as metadata,
    ):
        declaration = JetStreamDeclaration(metadata)
        await declaration.declare([], [replace(requests, ack_wait=PATIENCE)], replicas=3)
        yield Scene(gatekeeper, authcontroller, metadata)
        await declaration.declare([], [requests], replicas=3)
    await drain(declared)


async def test_work_that_outlasts_the_brokers_patience_is_not_given_to_anybody_else(
    scene: Scene,
) -> None:
    work = Work(takes_s=3.5 * PATIENCE.total_seconds())
    work.gate.set()
    async with work.consuming(scene.authcontroller, binding()):
        (name,) = await publish(scene.gatekeeper, 1)
        await work.until(lambda: name in work.done)
        await becomes(lambda: held(scene.metadata), 0)

    assert work.begun == [name]


async def test_without_a_word_to_the_broker_it_would_come_again(scene: Scene) -> None:
    work = Work(takes_s=2.5 * PATIENCE.total_seconds())
    work.gate.set()
    silent = replace(binding(), ack_wait=timedelta(minutes=1))
    async with work.consuming(scene.authcontroller, silent):
        (name,) = await publish(scene.gatekeeper, 1)
        await work.until(lambda: name in work.done)

    assert work.begun.count(name) > 1


async def test_what_waits_for_a_worker_is_not_given_to_anybody_else_either(scene: Scene) -> None:
    work = Work(takes_s=0.5 * PATIENCE.total_seconds())
    work.gate.set()
    async with work.consuming(scene.authcontroller, binding(concurrency=1, batch=6)):
        names = await publish(scene.gatekeeper, 7)
        await work.until(lambda: set(work.done) >= set(names))

    assert sorted(work.begun) == sorted(names)


async def test_a_consumer_asks_for_what_it_has_room_for_and_no_more(scene: Scene) -> None:
    work = Work()
    async with work.consuming(scene.authcontroller, binding(concurrency=2, batch=4)):
        names = await publish(scene.gatekeeper, 40)
        await becomes(lambda: held(scene.metadata), 2 + 4)
        await asyncio.sleep(2 * PATIENCE.total_seconds())
        still = await held(scene.metadata)
        begun = list(work.begun)
        work.gate.set()
        await work.until(lambda: set(work.done) >= set(names))

    assert (still, len(begun)) == (2 + 4, 2)
    assert sorted(work.done) == sorted(names)


async def test_a_swap_does_not_widen_the_room(scene: Scene) -> None:
    work = Work()
    async with work.consuming(scene.authcontroller, binding(concurrency=2, batch=4)):
        names = await publish(scene.gatekeeper, 40)
        await becomes(lambda: held(scene.metadata), 2 + 4)
        for _ in range(3):
            await scene.authcontroller.swap()
        await asyncio.sleep(PATIENCE.total_seconds())
        still = await held(scene.metadata)
        work.gate.set()
        await work.until(lambda: set(work.done) >= set(names))

    assert still == 2 + 4
    assert sorted(work.done) == sorted(names)


async def test_what_is_under_way_when_a_consumer_ends_is_finished_and_not_done_again(
    scene: Scene,
) -> None:
    ending, next_one = Work(takes_s=0.4), Work()
    ending.gate.set()
    next_one.gate.set()
    limits = binding(concurrency=2, batch=8)
    names = await publish(scene.gatekeeper, 8)
    async with ending.consuming(scene.authcontroller, limits) as consumer:
        await ending.until(lambda: len(ending.begun) == 2)
        consumer.cancel()
    async with next_one.consuming(scene.authcontroller, limits):
        await next_one.until(lambda: set(ending.done + next_one.done) >= set(names))
        await becomes(lambda: held(scene.metadata), 0)

    assert ending.done == ending.begun
    assert len(ending.done) == 2
    assert sorted(ending.done + next_one.done) == sorted(names)


async def test_what_takes_too_long_when_a_consumer_ends_goes_back_at_once(scene: Scene) -> None:
    stuck, next_one = Work(), Work()
    next_one.gate.set()
    (name,) = await publish(scene.gatekeeper, 1)
    async with stuck.consuming(scene.authcontroller, binding()) as consumer:
        await stuck.until(lambda: stuck.begun == [name])
        began = asyncio.get_running_loop().time()
        consumer.cancel()
        await asyncio.wait([consumer])
        ended_after_s = asyncio.get_running_loop().time() - began
    async with next_one.consuming(scene.authcontroller, binding()):
        await next_one.until(lambda: name in next_one.done)

    assert stuck.done == []
    assert ended_after_s < 3
