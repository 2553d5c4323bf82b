import asyncio

import pytest

from svc_core.runtime.wakeup import Wakeup


async def test_a_wait_ends_when_it_is_set(looptime: object) -> None:
    wakeup = Wakeup()
    asyncio.get_running_loop().call_later(3, wakeup.set)

    assert await wakeup.wait(10)
    assert looptime == 3


async def test_a_wait_ends_by_itself(looptime: object) -> None:
    assert not await Wakeup().wait(10)
    assert looptime == 10


async def test_a_set_before_the_wait_is_not_lost_and_counts_once(looptime: object) -> None:
    wakeup = Wakeup()
    wakeup.set()
    wakeup.set()

    assert await wakeup.wait(10)
    assert not await wakeup.wait(10)
    assert looptime == 10


async def test_a_cancelled_wait_leaves_the_wakeup_usable() -> None:
    wakeup = Wakeup()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await wakeup.wait(10)

    wakeup.set()

    assert await wakeup.wait(1)
