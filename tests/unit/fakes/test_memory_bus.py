"""The broker in memory does what flows rely on the real one for."""

import asyncio
from datetime import timedelta

import pytest

from svc_core.domain.identity import Subject
from svc_core.domain.subjects import AUTH_DURABLE, AUTH_REQUEST, AUTH_STREAM
from svc_core.errors import AccessDeniedError, BusError, MalformedMessageError
from svc_core.ports.bus import Binding, Delivery
from tests.fakes.memory_bus import MemoryBus

BINDING = Binding(AUTH_STREAM, AUTH_DURABLE, concurrency=2)


async def never_rejected(_delivery: Delivery, error: Exception) -> None:
    raise AssertionError(error)


async def consume_for(
    bus: MemoryBus,
    seconds: float,
    outcomes: dict[bytes, list[Exception]],
) -> list[tuple[bytes, int]]:
    seen: list[tuple[bytes, int]] = []

    async def handle(delivery: Delivery) -> None:
        seen.append((delivery.payload, delivery.deliveries))
        if outcomes.get(delivery.payload):
            raise outcomes[delivery.payload].pop()

    async def rejected(delivery: Delivery, error: Exception) -> None:
        seen.append((b"rejected " + delivery.payload, delivery.deliveries))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(bus.consume(BINDING, handle, rejected))
        await asyncio.sleep(seconds)
        task.cancel()
    return seen


async def test_a_known_message_id_is_stored_once() -> None:
    bus = MemoryBus()

    stored = [await bus.publish(AUTH_REQUEST, b"a", message_id="1") for _ in range(2)]

    assert stored == [True, False]
    assert len(bus.stored(AUTH_REQUEST)) == 1


async def test_a_subject_without_a_stream_is_denied() -> None:
    with pytest.raises(AccessDeniedError):
        await MemoryBus().publish("no.stream", b"", message_id="1")


async def test_a_retry_comes_again_after_its_delay_and_a_rejection_never() -> None:
    bus = MemoryBus()
    for payload in (b"fine", b"later", b"bad"):
        await bus.publish(AUTH_REQUEST, payload, message_id=payload.decode())
    outcomes: dict[bytes, list[Exception]] = {
        b"later": [BusError("away")],
        b"bad": [MalformedMessageError("bad")],
    }

    seen = await consume_for(bus, 3, outcomes)
    seen += await consume_for(bus, 3, {})

    assert seen == [
        (b"fine", 1),
        (b"later", 1),
        (b"bad", 1),
        (b"rejected bad", 1),
        (b"later", 2),
    ]


async def test_what_a_cancelled_consumer_did_not_finish_comes_again() -> None:
    bus = MemoryBus()
    await bus.publish(AUTH_REQUEST, b"slow", message_id="1")

    async def hang(_delivery: Delivery) -> None:
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(bus.consume(BINDING, hang, never_rejected))
        await asyncio.sleep(1)
        task.cancel()

    assert await consume_for(bus, 1, {}) == [(b"slow", 2)]


async def test_requests_reach_a_responder_or_time_out() -> None:
    bus, topic = MemoryBus(), Subject("metadata.bundle-pull.svc-metadata")

    async def answer(request: bytes) -> bytes | None:
        return request.upper() if request else None

    async with asyncio.TaskGroup() as group:
        task = group.create_task(bus.respond(topic, "workers", answer))
        await asyncio.sleep(0)
        assert await bus.request(topic, b"hello", timeout=timedelta(seconds=1)) == b"HELLO"
        with pytest.raises(BusError):
            await bus.request(topic, b"", timeout=timedelta(seconds=1))
        task.cancel()


async def test_the_last_message_of_a_subject_is_found() -> None:
    bus = MemoryBus()
    for number, key in enumerate(("a.1", "b.1", "a.1")):
        topic = f"$KV.rotation-status.{key}"
        await bus.publish(topic, str(number).encode(), message_id=str(number))

    found = await bus.fetch_last_matching("KV_rotation-status", "$KV.rotation-status.>")

    assert {(m.subject[-3:], m.payload) for m in found} == {("a.1", b"2"), ("b.1", b"1")}
    last = await bus.fetch_last("KV_rotation-status", "$KV.rotation-status.b.1")
    assert last is not None
    assert last.payload == b"1"
    assert await bus.fetch_last("KV_rotation-status", "$KV.rotation-status.c.1") is None
