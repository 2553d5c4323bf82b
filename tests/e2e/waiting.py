"""Waiting until something is so, under a deadline; nothing here waits for a time to pass."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

_INTERVAL_S: Final = 0.1

Probe = Callable[[], bool | Awaitable[bool]]


async def until(
    probe: Probe, *, within_s: float, what: str | Callable[[], str], every_s: float = _INTERVAL_S
) -> None:
    """Ask ``probe`` until it says yes.

    Raises:
        AssertionError: it did not in time, naming ``what`` was waited for.
    """
    try:
        async with asyncio.timeout(within_s):
            while not await _answer(probe):
                await asyncio.sleep(every_s)
    except TimeoutError:
        named = what if isinstance(what, str) else what()
        raise AssertionError(f"not within {within_s:g} s: {named}") from None


async def _answer(probe: Probe) -> bool:
    answer = probe()
    return await answer if inspect.isawaitable(answer) else answer
