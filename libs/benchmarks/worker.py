"""The process that measures: ``python -m benchmarks.worker ORDER``, asked by `benchmarks.crew`."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final, Protocol

import structlog
import uvloop

from benchmarks.crew import UVLOOP, WorkerOrder
from benchmarks.crypto_cases import open_crypto_bench
from benchmarks.message_bench import open_message_bench
from benchmarks.places import ServerPlace
from benchmarks.transport_bench import open_transport_bench
from svc_core.crypto.signing import Algorithm
from svc_core.runtime.interpreter import tune_interpreter

_LINE_LIMIT: Final = 64 * 1024


class Bench(Protocol):
    """Measures cases by name."""

    async def measure(self, case: str, seconds: float, **details: float) -> dict[str, Any]:
        """Measure ``case`` for about ``seconds``; the answer can be written as JSON."""
        ...


def open_bench(order: WorkerOrder) -> AbstractAsyncContextManager[Bench]:
    """Return what measures the cases of ``order.kind``."""
    if order.kind == "crypto":
        return open_crypto_bench()
    if order.kind == "transport":
        place = ServerPlace(order.server_url, order.server_folder)
        return open_transport_bench(place, Algorithm(order.algorithm), name=order.loop)
    return open_message_bench(Algorithm(order.algorithm), cores=len(order.cpus) or 1)


async def answer_questions(opening: AbstractAsyncContextManager[Bench]) -> None:
    """Open what measures, and answer what is asked on standard input until it ends."""
    async with opening as bench, _questions() as questions:
        while line := await questions.readline():
            question = json.loads(line)
            answer = await bench.measure(
                question["case"], question["seconds"], **question["details"]
            )
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


@asynccontextmanager
async def _questions() -> AsyncIterator[asyncio.StreamReader]:
    reader = asyncio.StreamReader(limit=_LINE_LIMIT)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        yield reader
    finally:
        transport.close()


def main() -> None:
    """Measure what is asked, on the processors of the order."""
    fields = json.loads(sys.argv[1])
    order = WorkerOrder(**{**fields, "cpus": tuple(fields["cpus"])})
    if order.cpus:
        os.sched_setaffinity(0, order.cpus)
    # uvloop is what the services run on. Whoever asked may be gone by the time there is an answer.
    factory = uvloop.new_event_loop if order.loop == UVLOOP else asyncio.new_event_loop
    tune_interpreter()
    # Of asyncio's own warnings one comes with every TLS connection that is closed.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    with suppress(BrokenPipeError), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(answer_questions(open_bench(order)))


if __name__ == "__main__":
    main()
