"""What a `Bus` owes to who publishes while the broker is away, goes deaf, or is cut off."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import pytest

from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.subjects import AUTH_DURABLE, AUTH_REQUEST, AUTH_STREAM
from svc_core.errors import AnswerLostError, BusError, UnacknowledgedError
from svc_core.ports.bus import Binding, Bus, Delivery
from tests.fakes.severable_bus import SeverableBus
from tests.integration.background import complete
from tests.integration.bare_stack import RunningCluster
from tests.integration.connections import connected, declare, wired_to_all

RUN: Final = f"severed{os.getpid()}"
PATIENCE: Final = timedelta(seconds=20)
SHORT: Final = timedelta(seconds=1)
KEYS: Final = ("", "k", "l")
COUNT: Final = 30
SOON_S: Final = 15.0


@dataclass
class Severable:
    """One service's bus that can be cut off, and a consumer's that cannot."""

    bus: Bus
    consumer: Bus
    sever: Callable[[], None]
    deafen: Callable[[], None]
    restore: Callable[[], None]
    cut: Callable[[], None]
    """Breaks what there is; it can be had again at once."""
    swap: Callable[[], Awaitable[None]]


@asynccontextmanager
async def in_memory(patience: timedelta) -> AsyncIterator[Severable]:
    bus = SeverableBus(patience=patience)

    def state(*, severed: bool = False, deaf: bool = False) -> Callable[[], None]:
        def enter() -> None:
            bus.is_severed, bus.is_deaf = severed, deaf

        return enter

    async def swap() -> None:
        """Do nothing: there is no connection."""

    restored = state()
    yield Severable(
        bus, bus, state(severed=True), state(deaf=True), restored, cut=restored, swap=swap
    )


@pytest.fixture(scope="session")
def declared(nats_cluster: RunningCluster) -> RunningCluster:
    complete(lambda: declare(nats_cluster))
    return nats_cluster


@asynccontextmanager
async def on_nats(cluster: RunningCluster, patience: timedelta) -> AsyncIterator[Severable]:
    async with wired_to_all(cluster) as (wires, settings):

        def each(act: str) -> Callable[[], None]:
            def do() -> None:
                for wire in wires:
                    getattr(wire, act)()

            return do

        patient = settings.model_copy(update={"publish_deadline": patience})
        async with (
            connected(cluster, GATEKEEPER, settings=patient) as gatekeeper,
            connected(cluster, AUTHCONTROLLER) as authcontroller,
        ):
            yield Severable(
                gatekeeper,
                authcontroller,
                sever=each("sever"),
                deafen=each("deafen"),
                restore=each("restore"),
                cut=each("cut"),
                swap=gatekeeper.swap,
            )
            each("restore")()


@pytest.fixture
def patience() -> timedelta:
    """How long a publish is repeated."""
    return PATIENCE


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.integration)])
async def severable(
    request: pytest.FixtureRequest, patience: timedelta
) -> AsyncIterator[Severable]:
    if request.param == "memory":
        async with in_memory(patience) as opened:
            yield opened
        return
    async with on_nats(request.getfixturevalue("declared"), patience) as opened:
        yield opened


_numbers = iter(range(1 << 30))


@dataclass
class Stored:
    """What the stream holds of one test, as a consumer is given it."""

    run: str = field(default_factory=lambda: f"{RUN}-{next(_numbers)}-")
    by_sequence: dict[int, str] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def message_id(self, number: int) -> str:
        return f"{self.run}{number}"

    @property
    def ids(self) -> list[str]:
        """In the order in which they are stored; a message stored twice is there twice."""
        return [self.by_sequence[sequence] for sequence in sorted(self.by_sequence)]

    async def handle(self, delivery: Delivery) -> None:
        message_id = delivery.payload.decode(errors="replace")
        if message_id.startswith(self.run):
            self.by_sequence[delivery.sequence] = message_id
            self.news.set()

    async def refuse(self, _delivery: Delivery, _error: Exception) -> None:
        raise BusError("nothing is refused here")

    @asynccontextmanager
    async def consumed(self, bus: Bus) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            binding = Binding(AUTH_STREAM, AUTH_DURABLE)
            consumer = group.create_task(bus.consume(binding, self.handle, self.refuse))
            try:
                yield
            finally:
                consumer.cancel()

    async def wait_for(self, expected: set[str]) -> None:
        async with asyncio.timeout(SOON_S):
            while not set(self.ids) >= expected:
                self.news.clear()
                await self.news.wait()

    async def publish(self, bus: Bus, number: int) -> bool:
        message_id = self.message_id(number)
        key = KEYS[number % len(KEYS)]
        ordering_key = f"{self.run}{key}" if key else ""
        return await bus.publish(
            AUTH_REQUEST, message_id.encode(), message_id=message_id, ordering_key=ordering_key
        )

    def check(self, count: int) -> None:
        """Nothing is lost, nothing doubled, and each key is in order."""
        expected = [self.message_id(n) for n in range(count)]
        assert sorted(self.ids) == sorted(expected)
        for lane in range(1, len(KEYS)):
            own = expected[lane :: len(KEYS)]
            assert [m for m in self.ids if m in own] == own


async def break_with(severable: Severable, way: str) -> None:
    match way:
        case "severed":
            severable.sever()
            await asyncio.sleep(0.5)
            severable.restore()
        case "deaf":
            severable.deafen()
            await asyncio.sleep(0.5)
            severable.restore()
        case "deaf, then cut":
            severable.deafen()
            await asyncio.sleep(0.2)
            severable.sever()
            severable.restore()
        case "cut":
            severable.cut()
        case "swapped":
            await severable.swap()
        case "swapped and cut":
            async with asyncio.TaskGroup() as group:
                group.create_task(swap_if_possible(severable))
                await asyncio.sleep(0.01)
                severable.cut()


async def swap_if_possible(severable: Severable) -> None:
    try:
        await severable.swap()
    except BusError:
        return


WAYS: Final = ("severed", "deaf", "deaf, then cut", "cut", "swapped", "swapped and cut")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("way", WAYS)
async def test_whatever_happens_to_the_broker_everything_is_stored_once_and_in_order(
    severable: Severable, way: str
) -> None:
    stored = Stored()
    async with stored.consumed(severable.consumer):
        async with asyncio.TaskGroup() as group:
            for number in range(COUNT):
                if number in {10, 20}:
                    group.create_task(break_with(severable, way))
                group.create_task(stored.publish(severable.bus, number))
                await asyncio.sleep(0.01)
        await stored.wait_for({stored.message_id(n) for n in range(COUNT)})

    stored.check(COUNT)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("patience", [SHORT])
async def test_what_cannot_be_sent_at_all_is_an_error_without_doubt(
    severable: Severable,
) -> None:
    stored = Stored()
    severable.sever()

    with pytest.raises(BusError) as failure:
        # Only the second is sure to come after the connection is known to be gone.
        await stored.publish(severable.bus, 0)
    with pytest.raises(BusError) as failure:
        await stored.publish(severable.bus, 0)

    assert not isinstance(failure.value, AnswerLostError)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("patience", [SHORT])
async def test_what_is_not_acknowledged_in_time_is_in_doubt_and_can_be_published_again(
    severable: Severable,
) -> None:
    stored = Stored()
    severable.deafen()

    with pytest.raises(UnacknowledgedError):
        await stored.publish(severable.bus, 0)

    severable.restore()
    async with stored.consumed(severable.consumer):
        await until_published(stored, severable.bus)
        await stored.wait_for({stored.message_id(0)})
    stored.check(1)


async def until_published(stored: Stored, bus: Bus) -> None:
    """Publish number 0 as often as it takes; a link that was deaf is found lost after a while."""
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                await stored.publish(bus, 0)
            except BusError:
                continue
            return
