"""What every `Bus` must do: the one in memory that tests stand on, and the real one."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, InstanceName, Subject
from svc_core.domain.subjects import (
    AUTH_DURABLE,
    AUTH_REQUEST,
    AUTH_STREAM,
    BUNDLE_PULL,
    BUNDLE_WORKERS,
    CA_CERT,
    CA_STREAM,
    STATUS_STREAM,
    status_key,
)
from svc_core.errors import (
    AccessDeniedError,
    BusError,
    DeliveryExhaustedError,
    MalformedMessageError,
    StorageFullError,
    SvcError,
)
from svc_core.ports.bus import Binding, Bus, Delivery
from tests.fakes.memory_bus import MemoryBus
from tests.integration.background import complete
from tests.integration.bare_stack import RunningCluster
from tests.integration.connections import connected, declare

BINDING = Binding(AUTH_STREAM, AUTH_DURABLE, retry_delay=timedelta(seconds=0.3))
SOON_S = 5.0
A_WHILE_S = 0.6
RUN = f"contract{os.getpid()}"


@dataclass(frozen=True)
class Users:
    """The bus as three services see it."""

    gatekeeper: Bus
    authcontroller: Bus
    metadata: Bus


@pytest.fixture(scope="session")
def declared(nats_cluster: RunningCluster) -> RunningCluster:
    complete(lambda: declare(nats_cluster))
    return nats_cluster


@asynccontextmanager
async def on_nats(cluster: RunningCluster) -> AsyncIterator[Users]:
    async with (
        connected(cluster, GATEKEEPER) as gatekeeper,
        connected(cluster, AUTHCONTROLLER) as authcontroller,
        connected(cluster, METADATA) as metadata,
    ):
        yield Users(gatekeeper, authcontroller, metadata)


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.integration)])
async def users(request: pytest.FixtureRequest) -> AsyncIterator[Users]:
    if request.param == "memory":
        bus = MemoryBus()
        yield Users(bus, bus, bus)
        return
    async with on_nats(request.getfixturevalue("declared")) as connections:
        yield connections


_numbers = iter(range(1 << 30))


def new_id() -> str:
    """Return a message id that no test has used; its payload is the same text."""
    return f"{RUN}-{next(_numbers)}"


async def publish(bus: Bus, message_id: str) -> None:
    await bus.publish(AUTH_REQUEST, message_id.encode(), message_id=message_id)


@dataclass
class Handling:
    """A handler that fails as it is told to, and what it was given."""

    only: str = ""
    """The one message that counts; others are leftovers and acknowledged."""
    failures: list[Exception] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    handled_at: list[float] = field(default_factory=list)
    rejected: list[Exception] = field(default_factory=list)
    reject_failures: list[Exception] = field(default_factory=list)
    """What recording a rejection fails with."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, delivery: Delivery) -> None:
        if self.only.encode() not in delivery.payload or RUN.encode() not in delivery.payload:
            return
        self.deliveries.append(delivery)
        self.handled_at.append(asyncio.get_running_loop().time())
        self.news.set()
        if self.failures:
            raise self.failures.pop(0)

    async def reject(self, _delivery: Delivery, error: Exception) -> None:
        if self.reject_failures:
            raise self.reject_failures.pop(0)
        self.rejected.append(error)
        self.news.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(SOON_S):
            while len(self.deliveries) < count:
                self.news.clear()
                await self.news.wait()

    @asynccontextmanager
    async def consuming(self, bus: Bus, binding: Binding = BINDING) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            consumer = group.create_task(bus.consume(binding, self.handle, self.reject))
            try:
                yield
            finally:
                consumer.cancel()


async def test_a_publish_stores_and_says_so(users: Users) -> None:
    message_id = new_id()

    assert await users.gatekeeper.publish(AUTH_REQUEST, b"x", message_id=message_id)


async def test_a_repeated_id_is_stored_once(users: Users) -> None:
    message_id = new_id()
    handling = Handling(only=message_id)
    await publish(users.gatekeeper, message_id)

    stored = await users.gatekeeper.publish(AUTH_REQUEST, b"again", message_id=message_id)

    assert not stored
    async with handling.consuming(users.authcontroller):
        await handling.wait_for(1)
        await asyncio.sleep(A_WHILE_S)
    assert len(handling.deliveries) == 1


async def test_a_delivery_carries_what_was_published(users: Users) -> None:
    message_id = new_id()
    handling = Handling(only=message_id)
    await publish(users.gatekeeper, message_id)

    async with handling.consuming(users.authcontroller):
        await handling.wait_for(1)

    (delivery,) = handling.deliveries
    assert (delivery.subject, delivery.payload) == (AUTH_REQUEST, message_id.encode())
    assert delivery.deliveries == 1
    assert delivery.sequence > 0


async def test_what_is_published_while_consuming_arrives_too(users: Users) -> None:
    message_id = new_id()
    handling = Handling(only=message_id)

    async with handling.consuming(users.authcontroller):
        await asyncio.sleep(A_WHILE_S)
        await publish(users.gatekeeper, message_id)
        await handling.wait_for(1)


async def test_an_error_to_retry_brings_the_message_again_after_the_delay(users: Users) -> None:
    message_id = new_id()
    handling = Handling(only=message_id, failures=[BusError("not now")])
    await publish(users.gatekeeper, message_id)

    async with handling.consuming(users.authcontroller):
        await handling.wait_for(2)

    first, second = handling.handled_at
    assert second - first >= BINDING.retry_delay.total_seconds() * 0.9
    assert [d.deliveries for d in handling.deliveries] == [1, 2]
    assert handling.rejected == []


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(MalformedMessageError("no message"), id="refused"),
        pytest.param(ZeroDivisionError("a bug"), id="unforeseen"),
    ],
)
async def test_an_error_that_stays_is_rejected_once_and_never_comes_again(
    users: Users, error: Exception
) -> None:
    message_id = new_id()
    handling = Handling(only=message_id, failures=[error])
    await publish(users.gatekeeper, message_id)

    async with handling.consuming(users.authcontroller):
        await handling.wait_for(1)
        await asyncio.sleep(A_WHILE_S)

    assert len(handling.deliveries) == 1
    assert handling.rejected == [error]


@pytest.mark.parametrize(
    "reason",
    [
        pytest.param(BusError("the dead letter was not stored"), id="away"),
        pytest.param(AccessDeniedError("no right to store it"), id="forbidden"),
        pytest.param(ZeroDivisionError("a bug"), id="a bug"),
    ],
)
async def test_a_rejection_that_could_not_be_recorded_is_tried_again(
    users: Users, reason: Exception
) -> None:
    message_id = new_id()
    error = MalformedMessageError("no message")
    handling = Handling(only=message_id, failures=[error, error])
    handling.reject_failures.append(reason)
    await publish(users.gatekeeper, message_id)
    async with handling.consuming(users.authcontroller):
        await handling.wait_for(2)
        await asyncio.sleep(0.1)

    assert handling.rejected == [error]


async def test_an_error_to_retry_is_not_retried_for_ever(users: Users) -> None:
    message_id = new_id()
    handling = Handling(only=message_id, failures=[BusError("not now")] * 9)
    limited = replace(BINDING, retry_delay=timedelta(seconds=0.05), max_deliver=3)
    await publish(users.gatekeeper, message_id)

    async with handling.consuming(users.authcontroller, limited):
        await handling.wait_for(3)
        await asyncio.sleep(A_WHILE_S)

    assert [d.deliveries for d in handling.deliveries] == [1, 2, 3]
    (given_up,) = handling.rejected
    assert isinstance(given_up, DeliveryExhaustedError)
    assert (given_up.deliveries, given_up.last_code) == (3, "dependency.nats")


async def test_a_message_that_nobody_survived_is_given_up_without_another_try(
    users: Users,
) -> None:
    message_id = new_id()
    before, after = Handling(only=message_id), Handling(only=message_id)
    before.failures += [BusError("not now")] * 2
    await publish(users.gatekeeper, message_id)
    async with before.consuming(
        users.authcontroller, replace(BINDING, retry_delay=timedelta(seconds=0.05))
    ):
        await before.wait_for(2)
        await asyncio.sleep(0.02)

    async with (
        after.consuming(users.authcontroller, replace(BINDING, max_deliver=2)),
        asyncio.timeout(SOON_S),
    ):
        while not after.rejected:
            after.news.clear()
            await after.news.wait()

    assert after.deliveries == []
    assert isinstance(after.rejected[0], DeliveryExhaustedError)


async def test_a_fatal_error_ends_the_consumer(users: Users) -> None:
    message_id = new_id()
    handling = Handling(only=message_id, failures=[StorageFullError("no space left")])
    await publish(users.gatekeeper, message_id)

    with pytest.raises(BaseExceptionGroup) as ended:
        async with asyncio.timeout(SOON_S):
            await users.authcontroller.consume(BINDING, handling.handle, handling.reject)

    assert ended.group_contains(StorageFullError)
    assert handling.rejected == []


async def test_a_consumer_that_is_cancelled_hands_back_what_it_has_not_done(
    users: Users,
) -> None:
    count = 20
    ids = [new_id() for _ in range(count)]
    stuck = asyncio.Event()

    async def hang(delivery: Delivery) -> None:
        if delivery.payload.decode() in ids:
            stuck.set()
            await asyncio.Event().wait()

    for message_id in ids:
        await publish(users.gatekeeper, message_id)
    narrow = Binding(AUTH_STREAM, AUTH_DURABLE, concurrency=2)
    first = Handling()
    async with asyncio.TaskGroup() as group:
        consumer = group.create_task(users.authcontroller.consume(narrow, hang, first.reject))
        async with asyncio.timeout(SOON_S):
            await stuck.wait()
        consumer.cancel()

    second = Handling()
    async with second.consuming(users.authcontroller):
        async with asyncio.timeout(SOON_S):
            while not {d.payload.decode() for d in second.deliveries} >= set(ids):
                second.news.clear()
                await second.news.wait()
    assert first.rejected == []


async def test_so_many_handlers_run_at_a_time_and_no_more(users: Users) -> None:
    running, most = 0, 0
    done: set[str] = set()
    all_done = asyncio.Event()
    ids = [new_id() for _ in range(12)]

    async def count(delivery: Delivery) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        done.add(delivery.payload.decode())
        if done >= set(ids):
            all_done.set()

    for message_id in ids:
        await publish(users.gatekeeper, message_id)
    binding = Binding(AUTH_STREAM, AUTH_DURABLE, concurrency=3)
    async with asyncio.TaskGroup() as group:
        consumer = group.create_task(
            users.authcontroller.consume(binding, count, Handling().reject)
        )
        async with asyncio.timeout(SOON_S):
            await all_done.wait()
        consumer.cancel()

    assert most == 3


async def test_the_last_of_nothing_is_none(users: Users) -> None:
    missing = status_key(GATEKEEPER, InstanceName("nobody"))

    assert await users.metadata.fetch_last(STATUS_STREAM, missing) is None


async def test_the_last_message_is_the_newest(users: Users) -> None:
    key = status_key(GATEKEEPER, InstanceName("newest"))
    for text in (b"first", b"second"):
        await users.gatekeeper.publish(key, text, message_id=new_id())

    found = await users.metadata.fetch_last(STATUS_STREAM, key)

    assert found is not None
    assert (found.subject, found.payload) == (key, b"second")


async def test_the_last_message_of_each_subject_is_found_by_pattern(users: Users) -> None:
    keys = [status_key(GATEKEEPER, InstanceName(f"match-{n}")) for n in range(3)]
    for key in keys:
        await users.gatekeeper.publish(key, b"old", message_id=new_id())
        await users.gatekeeper.publish(key, key.encode(), message_id=new_id())

    mine: dict[str, bytes] = {}
    async with asyncio.timeout(5):
        # Any replica answers, and one may be a moment behind the leader.
        while b"old" in mine.values() or len(mine) < len(keys):
            found = await users.metadata.fetch_last_matching(STATUS_STREAM, "$KV.rotation-status.>")
            mine = {m.subject: m.payload for m in found if m.subject in keys}

    assert mine == {key: key.encode() for key in keys}


async def test_nothing_matches_nothing(users: Users) -> None:
    pattern = "$KV.rotation-status.nobody.>"

    assert await users.metadata.fetch_last_matching(STATUS_STREAM, pattern) == ()


@asynccontextmanager
async def answering(bus: Bus, answers: Iterable[bytes | None]) -> AsyncIterator[None]:
    left = list(answers)

    async def respond(_request: bytes) -> bytes | None:
        return left.pop(0)

    async with asyncio.TaskGroup() as group:
        responder = group.create_task(bus.respond(BUNDLE_PULL, BUNDLE_WORKERS, respond))
        try:
            yield
        finally:
            responder.cancel()


async def test_a_request_brings_the_answer(users: Users) -> None:
    async with answering(users.metadata, [b"answer"]):
        reply = await users.gatekeeper.request(BUNDLE_PULL, b"ask", timeout=timedelta(seconds=2))

    assert reply == b"answer"


async def test_a_request_that_stays_unanswered_is_an_error_to_retry(users: Users) -> None:
    async with answering(users.metadata, [None]):
        with pytest.raises(BusError):
            await users.gatekeeper.request(BUNDLE_PULL, b"ask", timeout=timedelta(seconds=0.3))


async def test_a_request_that_nobody_is_there_for_is_an_error_to_retry(users: Users) -> None:
    with pytest.raises(BusError):
        await users.gatekeeper.request(BUNDLE_PULL, b"ask", timeout=timedelta(seconds=0.5))


async def test_a_request_waits_for_somebody_to_be_there(users: Users) -> None:
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(
            users.gatekeeper.request(BUNDLE_PULL, b"early", timeout=timedelta(seconds=SOON_S))
        )
        await asyncio.wait([asking], timeout=0.1)
        assert not asking.done()
        async with answering(users.metadata, [b"answer"]):
            assert await asking == b"answer"


async def test_a_listener_hears_live_messages_until_it_stops(users: Users) -> None:
    heard: list[bytes] = []
    news = asyncio.Event()

    def hear(payload: bytes) -> None:
        heard.append(payload)
        news.set()

    async with asyncio.TaskGroup() as group:
        listener = group.create_task(users.gatekeeper.listen(CA_CERT, hear))
        async with asyncio.timeout(SOON_S):
            while not news.is_set():
                # Again until heard: it takes a moment until every node knows who listens.
                await users.metadata.publish(CA_CERT, b"one", message_id=new_id())
                await asyncio.wait([group.create_task(news.wait())], timeout=0.05)
        listener.cancel()
    await users.metadata.publish(CA_CERT, b"two", message_id=new_id())
    await asyncio.sleep(0.1)

    assert set(heard) == {b"one"}
    last = await users.gatekeeper.fetch_last(CA_STREAM, CA_CERT)
    assert last is not None
    assert last.payload == b"two"


async def test_a_subject_nobody_may_publish_on_is_refused_at_once(users: Users) -> None:
    forbidden = Subject("elsewhere.entirely")
    began = asyncio.get_running_loop().time()

    with pytest.raises(AccessDeniedError) as refusal:
        await users.gatekeeper.publish(forbidden, b"x", message_id=new_id())

    assert isinstance(refusal.value, SvcError)
    assert asyncio.get_running_loop().time() - began < 0.9
