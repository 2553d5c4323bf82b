"""Work that would hold the event loop for too long is done on another thread."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T], *, is_small: bool) -> T:
    """Return ``work()``, done on a thread of its own unless it is small.

    Threads take turns every tenth of a millisecond (`svc_core.runtime.interpreter`), so the loop
    goes on meanwhile. ``work`` must touch nothing that changes.

    Args:
        work: pure computation.
        is_small: whether it is done within a millisecond or two: then a thread is not worth it.
    """
    return work() if is_small else await asyncio.to_thread(work)
