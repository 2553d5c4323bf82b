"""The process that ``bench swap`` measures: ``python -m benchmarks.swap_worker ORDER``.

A publisher, a consumer and the load are in one event loop, as they would be in a service that does
both; it is told when to move and where windows begin, and says at the end what it saw.
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from enum import StrEnum
from typing import Any, Final

import nats
import structlog
import uvloop
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from benchmarks.steady_load import SteadyLoad
from benchmarks.swap_bare_ways import open_bare
from benchmarks.swap_flow import Flow, latencies_ms, pooled, windows_of
from benchmarks.swap_place import SwapPlace, Way
from benchmarks.swap_ways import Moving, OpenWay, open_swapping
from benchmarks.worker import answer_questions
from svc_core.adapters.system_entropy import system_entropy
from svc_core.adapters.tls_contexts import client_context
from svc_core.domain.identity import METADATA
from svc_core.domain.subjects import (
    AUTH_STREAM,
    DUPLICATE_WINDOW,
    DURABLES,
    STREAMS,
    inbox_prefix,
)
from svc_core.errors import BusError
from svc_core.runtime.interpreter import tune_interpreter

_OPENERS: Final[dict[Way, OpenWay]] = {
    Way.SWAP: open_swapping,
    Way.DRAIN: open_bare,
    Way.RECONNECT: open_bare,
}
_STREAM: Final = next(s for s in STREAMS if s.name == AUTH_STREAM)
_DURABLE: Final = next(d for d in DURABLES if d.stream == AUTH_STREAM)
_REPLICAS: Final = 3
_RUN_SIZE: Final = 8
_LOOK_S: Final = 0.2
_ASK_S: Final = 2.0
_TRIES: Final = 30
_LOOKS: Final = 50
"""Ten seconds: twice the patience of a durable with a message it has no word about."""


class SwapCase(StrEnum):
    """What can be asked for."""

    MARK = "mark"
    """A window ends here and another begins."""
    MOVE = "move"
    """Move both connections to the certificates of move ``number``."""
    END = "end"
    """Stop the load, wait for what is under way, and tell what was seen."""


class SwapBench:
    """Answers one question at a time while the load runs."""

    def __init__(
        self, way: Moving, flow: Flow, load: SteadyLoad, loading: asyncio.Task[None]
    ) -> None:
        self._way = way
        self._flow = flow
        self._load = load
        self._loading = loading
        self._marks: list[float] = []

    async def measure(self, case: str, seconds: float, **details: float) -> dict[str, Any]:
        """Do what ``case`` of `SwapCase` says; ``seconds`` are how long to wait before."""
        await asyncio.sleep(seconds)
        match SwapCase(case):
            case SwapCase.MARK:
                self._marks.append(time.perf_counter())
                return {}
            case SwapCase.MOVE:
                began = time.perf_counter()
                await self._way.move(int(details["number"]))
                return {"elapsed_s": time.perf_counter() - began}
            case SwapCase.END:
                return await self._end()

    async def _end(self) -> dict[str, Any]:
        self._load.stop()
        await self._loading
        for _ in range(_LOOKS):
            if not self._flow.lost:
                break
            await asyncio.sleep(_LOOK_S)
        return await asyncio.to_thread(self._report)

    def _report(self) -> dict[str, Any]:
        flow = self._flow
        latencies = latencies_ms(flow, self._marks)
        swapped, quiet = (pooled(latencies, swap=swap) for swap in (True, False))
        return {
            "windows": [asdict(window) for window in windows_of(flow, self._marks)],
            "swapped": asdict(swapped) if swapped else None,
            "quiet": asdict(quiet) if quiet else None,
            "sent": len(flow.due),
            "lost": flow.lost,
            "doubled": flow.doubled,
            "redelivered": flow.redelivered,
            "failed": flow.failed,
            "repeated": self._way.repeated,
        }


@asynccontextmanager
async def open_swap_bench(place: SwapPlace) -> AsyncIterator[SwapBench]:
    """Declare the stream, open the way and start the load; end all of it."""
    await _declare(place)
    flow = Flow()
    load = SteadyLoad(flow, rate=place.rate, run=system_entropy(_RUN_SIZE))
    async with _OPENERS[place.way](place, load.handle) as way, asyncio.TaskGroup() as group:
        loading = group.create_task(load.run(way.publish))
        try:
            yield SwapBench(way, flow, load, loading)
        finally:
            load.stop()


async def _declare(place: SwapPlace) -> None:
    material = place.material(place.first_move, METADATA)
    client = await nats.connect(
        servers=list(place.servers),
        tls=client_context(material),
        tls_handshake_first=True,
        inbox_prefix=inbox_prefix(METADATA),
    )
    try:
        # A new cluster answers nothing before it has a leader.
        for _ in range(_TRIES):
            if await _is_declared(client.jetstream(timeout=_ASK_S)):
                return
            await asyncio.sleep(_LOOK_S)
    finally:
        await client.close()
    raise BusError("the servers of a benchmark do not take its stream")


async def _is_declared(streams: JetStreamContext) -> bool:
    try:
        await streams.add_stream(
            StreamConfig(
                name=_STREAM.name,
                subjects=list(_STREAM.subjects),
                num_replicas=_REPLICAS,
                max_age=_STREAM.max_age.total_seconds(),
                max_bytes=_STREAM.max_bytes,
                max_msg_size=_STREAM.max_message,
                duplicate_window=DUPLICATE_WINDOW.total_seconds(),
            )
        )
        await streams.add_consumer(
            _STREAM.name,
            ConsumerConfig(
                name=_DURABLE.name,
                durable_name=_DURABLE.name,
                filter_subject=_DURABLE.filter_subject,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=_DURABLE.ack_wait.total_seconds(),
                max_ack_pending=_DURABLE.max_ack_pending,
                max_deliver=-1,
            ),
        )
    except NatsError:
        return False
    return True


def main() -> None:
    """Measure one way on the servers of the order."""
    fields = json.loads(sys.argv[1])
    place = SwapPlace(**{**fields, "way": Way(fields["way"]), "servers": tuple(fields["servers"])})
    # Standard output is for answers, and asyncio has something to say about every end of TLS.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # As the services do: their loop, and threads that take turns quickly.
    tune_interpreter()
    with suppress(BrokenPipeError), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(answer_questions(open_swap_bench(place)))


if __name__ == "__main__":
    main()
