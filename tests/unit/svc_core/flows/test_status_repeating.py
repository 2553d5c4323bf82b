"""A status that nobody stored is said again soon: it is how a server without peers is noticed."""

import asyncio
from dataclasses import replace

from svc_core.domain.identity import GATEKEEPER, InstanceName
from svc_core.domain.profiles import PROFILES
from svc_core.flows.status_reporting import Reporter, StatusReporter
from svc_core.runtime.supervision import run_until
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire import status as status_wire
from tests.authority import make_author, without_threads
from tests.builders import make_status, make_surroundings
from tests.fakes.clock import LoopClock
from tests.fakes.memory_bus import MemoryBus

ME = InstanceName("gatekeeper-1")
UNHURRIED = PROFILES["production"]
STORED_WITHIN_S = 1.0
AGAIN_S = 2.0


async def said_within(seconds: float, *, is_answered: bool) -> list[float]:
    """Return when statuses were said under a profile with rare heartbeats."""
    without_threads()
    bus, stop, said = MemoryBus(), asyncio.Event(), list[float]()

    async def publish(topic: str, payload: bytes, **_: str) -> bool:
        said.append(asyncio.get_running_loop().time())
        if not is_answered:
            await asyncio.Event().wait()
        return True

    bus.publish = publish  # type: ignore[method-assign]
    reporter = StatusReporter(
        Reporter(GATEKEEPER, ME, "boot-1", make_author(status_wire.signer_of(GATEKEEPER, ME))),
        make_status,
        Wakeup(),
        bus,
        replace(make_surroundings(LoopClock()), profile=UNHURRIED),
    )
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await run_until(stop, [reporter])
    return said


async def test_what_is_not_stored_is_said_again_long_before_the_heartbeat() -> None:
    heartbeat_s = UNHURRIED.heartbeat.total_seconds()
    first, second, *_ = await said_within(heartbeat_s, is_answered=False)

    assert second - first <= STORED_WITHIN_S + AGAIN_S < heartbeat_s / 2


async def test_what_is_stored_is_said_at_the_heartbeat() -> None:
    heartbeat_s = UNHURRIED.heartbeat.total_seconds()

    assert len(await said_within(heartbeat_s - 1, is_answered=True)) == 1
