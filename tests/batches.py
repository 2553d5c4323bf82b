"""Batches of good messages, sealed by the gatekeeper."""

import asyncio
from concurrent.futures import Executor

from svc_core.domain.identity import GATEKEEPER
from svc_core.domain.signing_mode import SigningMode
from svc_core.domain.subjects import AUTH_REQUEST
from tests.builders import NOW, ManualExecutor, make_channel
from tests.fakes.clock import LoopClock


async def batch_of(size: int, *, workers: Executor | None = None, tag: str = "m") -> list[bytes]:
    """Return ``size`` messages, ids ``<tag>-0`` on: the first signed alone, the rest in batches."""
    executor = workers or ManualExecutor()
    sender = make_channel(GATEKEEPER, LoopClock(NOW), workers=executor, signing=SigningMode.BATCHED)

    async def seal(number: int) -> bytes:
        return await sender.seal(
            AUTH_REQUEST,
            f"payload {tag} {number}".encode(),
            message_type="authRequest",
            message_id=f"{tag}-{number}",
        )

    sealing: list[asyncio.Task[bytes]] = []
    async with sender, asyncio.TaskGroup() as group:
        for numbers in (range(1), range(1, size)):
            sealing += [group.create_task(seal(number)) for number in numbers]
            if isinstance(executor, ManualExecutor):
                await _run(executor, sealing)
            else:
                await asyncio.wait(sealing)
    return [task.result() for task in sealing]


async def _run(executor: ManualExecutor, sealing: list[asyncio.Task[bytes]]) -> None:
    while not all(task.done() for task in sealing):
        await asyncio.sleep(0)
        if executor.waiting:
            executor.run_next()
