"""An instance says how it is: on change at once, otherwise at every heartbeat, signed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm
from svc_core.domain.identity import GATEKEEPER, InstanceName
from svc_core.domain.status import InstanceStatus
from svc_core.domain.subjects import STATUS_STREAM, status_key
from svc_core.errors import BusError
from svc_core.flows.statements import Statements
from svc_core.flows.status_reporting import Reporter, StatusReporter
from svc_core.runtime.supervision import run_until
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire import documents
from svc_core.wire import status as status_wire
from svc_core.wire.identities import PublicIdentity
from tests.authority import make_author, without_threads
from tests.builders import DEMO, make_status, make_surroundings
from tests.fakes.clock import LoopClock
from tests.fakes.memory_bus import MemoryBus

ME = InstanceName("gatekeeper-1")
KEY = status_key(GATEKEEPER, ME)
AUTHOR = make_author(status_wire.signer_of(GATEKEEPER, ME))
HEARTBEAT_S = DEMO.heartbeat.total_seconds()


class Instance:
    """A gatekeeper whose status the test decides."""

    def __init__(self) -> None:
        clock = LoopClock()
        self.bus = MemoryBus()
        self.changed = Wakeup()
        self.status = make_status()
        self.around = make_surroundings(clock)
        self.around.health.expect(StatusReporter.name, timedelta(seconds=10))
        self.reporter = StatusReporter(
            Reporter(GATEKEEPER, ME, "boot-1", AUTHOR),
            lambda: self.status,
            self.changed,
            self.bus,
            self.around,
        )

    async def newest(self) -> InstanceStatus:
        """Return the last status on the bus, its signature checked."""
        stored = await self.bus.fetch_last(STATUS_STREAM, KEY)
        assert stored is not None
        document = documents.decode(stored.payload)
        pinned = PublicIdentity(AUTHOR.id, Algorithm.ML_DSA_87, AUTHOR.public)
        body = await Statements([pinned]).verified(document, context=contexts.INSTANCE_STATUS)
        return status_wire.decode(body, signer=document.signer)


@asynccontextmanager
async def reporting() -> AsyncIterator[Instance]:
    instance, stop = Instance(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until(stop, [instance.reporter]))
        await asyncio.sleep(0.01)
        try:
            yield instance
        finally:
            stop.set()


@pytest.fixture(autouse=True)
async def _inline() -> None:
    without_threads()


async def test_the_status_is_said_at_once_and_signed() -> None:
    async with reporting() as instance:
        assert await instance.newest() == instance.status
        assert instance.around.health.report().ready


async def test_a_change_is_said_at_once() -> None:
    async with reporting() as instance:
        instance.status = make_status(version=4)
        instance.changed.set()
        await asyncio.sleep(0.01)

        assert (await instance.newest()).version == 4


async def test_without_a_change_it_is_said_at_every_heartbeat() -> None:
    async with reporting() as instance:
        await asyncio.sleep(10 * HEARTBEAT_S)

        assert len(instance.bus.stored(KEY)) == 11


async def test_when_the_clock_is_set_back_the_newest_status_is_still_the_latest() -> None:
    """Whoever reads them takes the latest, and must not wait until the clock has caught up."""
    async with reporting() as instance:
        before = await instance.newest()
        for version in (5, 6):
            instance.status = make_status(version=version, sent_at=before.sent_at - DEMO.skew)
            instance.changed.set()
            await asyncio.sleep(0.01)
            after = await instance.newest()

            assert after.version == version
            assert before.sent_at < after.sent_at <= before.sent_at + timedelta(milliseconds=1)
            before = after


async def test_a_clock_that_was_far_ahead_is_not_followed_for_long() -> None:
    async with reporting() as instance:
        right = (await instance.newest()).sent_at - 2 * DEMO.skew
        instance.status = make_status(sent_at=right)
        instance.changed.set()
        await asyncio.sleep(0.01)

        assert (await instance.newest()).sent_at == right


async def test_what_is_not_acknowledged_does_not_keep_back_what_is_newer() -> None:
    async with reporting() as instance:
        heard: list[bytes] = []
        hang = asyncio.Event()

        async def unanswered(topic: str, payload: bytes, **_: str) -> bool:
            heard.append(payload)
            return await hang.wait()

        instance.bus.publish = unanswered  # type: ignore[method-assign]
        for version in (5, 6, 7):
            instance.status = make_status(version=version)
            instance.changed.set()
            await asyncio.sleep(1.1)

        said = [documents.decode(payload) for payload in heard]
        assert [status_wire.decode(d.body, signer=d.signer).version for d in said] == [5, 6, 7]


async def test_a_bus_that_is_away_is_waited_for() -> None:
    async with reporting() as instance:
        instance.bus.fault = lambda _topic, _id: BusError("no acknowledgement")
        await asyncio.sleep(20)
        assert not instance.around.health.report().ready

        instance.bus.fault = lambda _topic, _id: None
        await asyncio.sleep(6)

        assert instance.around.health.report().ready
