"""A busy loop of work lets others have their turn."""

import asyncio

from svc_core.runtime.breather import Breather


async def test_work_that_never_waits_still_lets_others_run() -> None:
    breather, others = Breather(), asyncio.Event()
    asyncio.get_running_loop().call_soon(others.set)

    async with asyncio.timeout(5):
        while not others.is_set():
            if breather.is_due:
                await breather.breathe()


async def test_a_turn_that_has_just_begun_goes_on() -> None:
    breather = Breather()
    assert breather.is_due

    await breather.breathe()

    assert not breather.is_due
