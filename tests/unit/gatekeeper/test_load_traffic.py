"""Requests out and answers in, against one broker in memory, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from svc_core.domain.identity import GATEKEEPER
from svc_core.domain.journal_records import RecordKind, unix_ns
from svc_core.domain.subjects import (
    AUTH_REQUEST,
    GATEKEEPER_DURABLE,
    GATEKEEPER_STREAM,
    RESPONDER,
    dead_letters,
)
from svc_core.errors import BusError, StorageFullError
from svc_core.ports.bus import Binding
from svc_core.runtime.supervision import Loop
from svc_core.wire import dead_letter
from tests.builders import make_channel
from tests.fakes.clock import START
from tests.load_services import LoadServices, make_order


@asynccontextmanager
async def running(*loops: Loop) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop.run()) for loop in loops]
        yield
        for task in tasks:
            task.cancel()


async def test_every_request_is_sent_when_it_is_due_and_answered_once() -> None:
    services, order = LoadServices(), make_order(rate=10, seconds=2)
    services.orders.replace(order)

    async with running(services.generator(), services.receiver(), services.authenticator()):
        await asyncio.sleep(3)

    traffic = services.traffic(order)
    assert len(traffic.due) == len(traffic.acked) == len(traffic.answered) == 20
    assert sorted(traffic.due.values()) == [
        unix_ns(START + timedelta(milliseconds=100 * k)) for k in range(20)
    ]
    assert (traffic.lost, traffic.duplicated, traffic.skipped) == (frozenset(), frozenset(), 0)


async def test_a_request_is_journalled_before_the_broker_may_know_it() -> None:
    services = LoadServices()
    noted: list[list[str]] = []

    def look(_topic: str, _message_id: str) -> None:
        noted.append(services.asked.ids(RecordKind.SENT))

    services.bus.fault = look
    sender = services.sender()
    await sender.users.prepare()

    await sender.send("run-boot1-0", 0, due_at=START)

    assert noted == [["run-boot1-0"]]
    assert services.asked.ids(RecordKind.ACKED) == ["run-boot1-0"]


async def test_a_restarted_generator_goes_on_with_new_ids() -> None:
    services, order = LoadServices(), make_order(rate=10, seconds=3)
    services.orders.replace(order)

    async with running(services.generator(boot_id="boot1")):
        await asyncio.sleep(0.95)
    await asyncio.sleep(1)
    async with running(services.generator(boot_id="boot2")):
        await asyncio.sleep(2)

    sent = services.asked.ids(RecordKind.SENT)
    assert sent[9:11] == ["run-boot1-9", "run-boot2-20"]
    assert len(sent) == len(set(sent)) == 20


async def test_a_broker_that_is_away_costs_skipped_requests_and_no_burst() -> None:
    services, order = LoadServices(), make_order(rate=1000, seconds=5)
    services.orders.replace(order)
    away = asyncio.Event()
    generator = services.generator()

    class _Slow:
        """Publishes that wait until the broker is back."""

        async def publish(self, topic: str, payload: bytes, *, message_id: str) -> bool:
            await away.wait()
            return await services.bus.publish(topic, payload, message_id=message_id)

    object.__setattr__(generator._sender, "bus", _Slow())

    async with running(generator):
        await asyncio.sleep(3)
        away.set()
        await asyncio.sleep(3)

    traffic = services.traffic(order)
    assert traffic.skipped > 1000
    assert len(traffic.due) + traffic.skipped == 5000
    assert traffic.acked == traffic.due.keys()


async def test_a_request_that_cannot_be_published_is_in_doubt_and_the_load_goes_on() -> None:
    services, order = LoadServices(), make_order(rate=10, seconds=1)
    services.orders.replace(order)
    services.bus.fault = lambda _topic, message_id: (
        BusError("no acknowledgement") if message_id.endswith("-3") else None
    )

    async with running(services.generator()):
        await asyncio.sleep(2)

    traffic = services.traffic(order)
    assert traffic.in_doubt == {"run-boot1-3"}
    assert len(traffic.acked) == 9


async def test_a_stop_waits_for_what_is_in_flight() -> None:
    services, order = LoadServices(), make_order(rate=1, seconds=10)
    services.orders.replace(order)
    may_ack = asyncio.Event()
    generator = services.generator()

    class _Slow:
        async def publish(self, topic: str, payload: bytes, *, message_id: str) -> bool:
            await may_ack.wait()
            return await services.bus.publish(topic, payload, message_id=message_id)

    object.__setattr__(generator._sender, "bus", _Slow())
    asyncio.get_running_loop().call_later(2, may_ack.set)

    async with running(generator):
        await asyncio.sleep(0.5)

    assert services.asked.ids(RecordKind.ACKED) == ["run-boot1-0"]


async def test_a_full_disk_ends_the_loop() -> None:
    services = LoadServices()
    services.orders.replace(make_order())
    services.asked.full = StorageFullError("no space left")

    with pytest.raises(ExceptionGroup) as failure:
        await services.generator().run()

    assert failure.group_contains(StorageFullError)


async def test_a_new_order_replaces_the_old_one_at_once() -> None:
    services = LoadServices()
    first, second = make_order(run_id="first", seconds=60), make_order(run_id="second", seconds=60)
    services.orders.replace(first)

    async with running(services.generator()):
        await asyncio.sleep(1.05)
        services.orders.replace(second)
        await asyncio.sleep(1)
        services.orders.replace(None)
        await asyncio.sleep(5)

    runs = [record_id.partition("-")[0] for record_id in services.asked.ids(RecordKind.SENT)]
    assert (runs.count("first"), runs.count("second")) == (11, 10)


async def test_an_answer_that_comes_again_is_acknowledged_and_counted_only() -> None:
    services, order = LoadServices(), make_order(rate=5, seconds=1)
    services.orders.replace(order)
    async with running(services.generator(), services.authenticator(), services.receiver()):
        await asyncio.sleep(2)
        await services.bus.redeliver(Binding(GATEKEEPER_STREAM, GATEKEEPER_DURABLE))
        await asyncio.sleep(1)

    traffic = services.traffic(order)

    assert traffic.redelivered >= 5
    assert (set(traffic.answered.values()), traffic.duplicated) == ({1}, frozenset())
    assert services.bus.terminated == []


async def test_answers_are_remembered_over_a_restart() -> None:
    services, order = LoadServices(), make_order(rate=5, seconds=1)
    services.orders.replace(order)
    async with running(services.generator(), services.authenticator(), services.receiver()):
        await asyncio.sleep(2)

    async with running(services.receiver()):
        await services.bus.redeliver(Binding(GATEKEEPER_STREAM, GATEKEEPER_DURABLE))
        await asyncio.sleep(1)

    assert services.traffic(order).duplicated == frozenset()


async def test_bytes_that_are_no_message_become_a_dead_letter() -> None:
    services = LoadServices()

    async with running(services.receiver()):
        await services.bus.publish(RESPONDER, b"garbage", message_id="x")
        await asyncio.sleep(1)

    (stored,) = services.bus.stored(dead_letters(GATEKEEPER))
    letter = dead_letter.decode(stored.payload)
    assert (letter.code, letter.payload) == ("message.malformed", b"garbage")
    (refused,) = [r for r in services.asked.records if r.kind is RecordKind.REJECTED]
    assert (refused.record_id, refused.extra) == ("GATEKEEPER_STREAM#1", "message.malformed")


async def test_a_request_on_the_answers_topic_is_refused() -> None:
    services = LoadServices()
    sealed = await make_channel(GATEKEEPER, services.clock).seal(
        AUTH_REQUEST, b"x", message_type="authRequest", message_id="run-boot1-0"
    )

    async with running(services.receiver()):
        await services.bus.publish(RESPONDER, sealed, message_id="x")
        await asyncio.sleep(1)

    assert [r.extra for r in services.asked.records] == ["message.topic_mismatch"]
