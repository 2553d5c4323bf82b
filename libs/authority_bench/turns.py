"""How long the event loop works before it turns to whoever else waits."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Self

_TICK_S: Final = 0.001
_MS_PER_S: Final = 1000


class TurnProbe:
    """Notes the processor time of the loop's own thread between one of its wake-ups and the next.

    What other threads and other programs use up is not in it, so a figure is the same on a busy
    machine; neither is what a thread holds up by keeping the interpreter to itself.
    """

    def __init__(self, timer: Callable[[], float] = time.thread_time) -> None:
        self._timer = timer
        self._tasks = asyncio.TaskGroup()
        self._probing: asyncio.Task[None] | None = None
        self.turns_ms: list[float] = []
        """In the order in which they were noted."""

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._probing = self._tasks.create_task(self._probe())
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._probing is not None:
            self._probing.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def _probe(self) -> None:
        while True:
            began = self._timer()
            await asyncio.sleep(_TICK_S)
            self.turns_ms.append((self._timer() - began) * _MS_PER_S)
