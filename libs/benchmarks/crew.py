"""The processes that measure, seen from the one that asks.

Each is ``python -m benchmarks.worker`` with its processors fixed from the start, so that nothing
else of this program runs where something is measured. A question is one line of JSON on its
standard input, the answer one line on its standard output; it ends when its input does.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.errors import WorkerEndedError
from benchmarks.rounds import Slice, together

UVLOOP: Final = "uvloop"
_ANSWER_LIMIT: Final = 64 * 1024 * 1024
"""Most bytes of one answer: some hundred thousand latencies fit."""
_PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """What a measuring process is for."""

    kind: str
    """``crypto``, ``messages`` or ``transport``."""
    cpus: tuple[int, ...] = ()
    """Processors it may use; all of this process when empty."""
    algorithm: str = "ML-DSA-65"
    """What messages are signed with."""
    loop: str = UVLOOP
    """`UVLOOP` or ``asyncio``."""
    server_url: str = ""
    """The NATS server of ``transport``."""
    server_folder: str = ""
    """Where its clients' certificates are; empty: it speaks no TLS."""


class Worker:
    """One process that measures; answers one question at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def ask(self, case: str, seconds: float, **details: float) -> dict[str, Any]:
        """Have ``case`` measured for ``seconds`` and return what came out.

        Raises:
            WorkerEndedError: the process died.
        """
        self.begin(case, seconds, **details)
        return await self.answer()

    def begin(self, case: str, seconds: float, **details: float) -> None:
        """Have ``case`` measured from now on; `answer` must follow."""
        if self._process.stdin is not None:
            question = {"case": case, "seconds": seconds, "details": details}
            self._process.stdin.write(json.dumps(question).encode() + b"\n")

    async def answer(self) -> dict[str, Any]:
        """Return what came out of what was begun.

        Raises:
            WorkerEndedError: the process died.
        """
        line = b""
        if self._process.stdout is not None:
            with suppress(ConnectionError):
                line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise WorkerEndedError(await self._process.wait())
        found: dict[str, Any] = json.loads(line)
        return found

    async def measure(self, case: str, seconds: float) -> Slice:
        """Return how often ``case`` was done in about ``seconds``.

        Raises:
            WorkerEndedError: the process died.
        """
        return Slice(**await self.ask(case, seconds))


async def measure_together(workers: Sequence[Worker], case: str, seconds: float) -> Slice:
    """Return what all ``workers`` did at the same time.

    Raises:
        WorkerEndedError: one of the processes died.
    """
    for worker in workers:
        worker.begin(case, seconds)
    return together([Slice(**await worker.answer()) for worker in workers])


def open_worker(order: WorkerOrder) -> AbstractAsyncContextManager[Worker]:
    """Start a process that measures cryptography or messages, and end it."""
    return open_process("benchmarks.worker", asdict(order))


@asynccontextmanager
async def open_process(module: str, order: dict[str, Any]) -> AsyncIterator[Worker]:
    """Start ``python -m module`` with ``order`` as its argument, which is no secret, and end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        json.dumps(order),
        stdin=PIPE,
        stdout=PIPE,
        limit=_ANSWER_LIMIT,
        # Ctrl-C is for the one who asks; it tells the others by closing their input.
        start_new_session=True,
    )
    try:
        yield Worker(process)
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
