"""A live message wakes a loop, whatever is in it."""

import asyncio

from svc_core.domain.subjects import CA_CERT
from svc_core.runtime.listening import HintListener
from svc_core.runtime.supervision import run_until
from svc_core.runtime.wakeup import Wakeup
from tests.fakes.memory_bus import MemoryBus


async def test_every_message_on_the_subject_wakes() -> None:
    bus, hinted, stop = MemoryBus(), Wakeup(), asyncio.Event()
    listener = HintListener("ca_hints", bus, CA_CERT, hinted)
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until(stop, [listener]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        await bus.publish(CA_CERT, b"garbage", message_id="1")
        assert await hinted.wait(1)
        assert not await hinted.wait(1)
        await bus.publish(CA_CERT, b"", message_id="2")
        assert await hinted.wait(1)
        stop.set()

    assert listener.name == "ca_hints"
