"""The process that measures the authority: ``python -m authority_bench ORDER``.

Asked for ``round`` it goes through one key epoch; asked for ``memory`` it says how much it has.
"""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop

from authority_bench.desk import open_desk
from authority_bench.shapes import Shape, made_up, shipped
from authority_bench.steps import Rounds
from benchmarks.authority_order import MEMORY, AuthorityOrder
from benchmarks.worker import answer_questions
from svc_core.runtime.interpreter import tune_interpreter

_STATUS: Final = Path("/proc/self/status")
_FIELDS: Final = {"VmRSS:": "now", "VmHWM:": "peak"}


@dataclass(frozen=True, slots=True)
class AuthorityBench:
    """Measures one shape."""

    rounds: Rounds
    memory_before: dict[str, int]
    """Once everything was imported, and there were no rights yet."""

    async def measure(self, case: str, seconds: float, **details: float) -> dict[str, Any]:
        """Return the timings and sizes of one round, or how much memory is in use, in KiB."""
        if case == MEMORY:
            return {"before": self.memory_before, "after": memory_kib()}
        return await self.rounds.go()


def memory_kib() -> dict[str, int]:
    """Return how many KiB of memory this process has in use, and had at most; empty if unknown."""
    with suppress(OSError):
        rows = [line.split() for line in _STATUS.read_text().splitlines()]
        return {_FIELDS[row[0]]: int(row[1]) for row in rows if row and row[0] in _FIELDS}
    return {}


@asynccontextmanager
async def _opened(order: AuthorityOrder) -> AsyncIterator[AuthorityBench]:
    before = memory_kib()
    shape = await asyncio.to_thread(_shape_of, order)
    async with open_desk(order, shape) as desk:
        rounds = Rounds(desk, shape, order.bundles_stored)
        await rounds.begin()
        yield AuthorityBench(rounds, before)


def _shape_of(order: AuthorityOrder) -> Shape:
    if order.topics == 0:
        return shipped(Path(order.manifest_file).read_bytes())
    return made_up(topics=order.topics, services=order.services, consumers=order.consumers)


def main() -> None:
    """Measure what is asked on standard input until it ends."""
    order = AuthorityOrder(**json.loads(sys.argv[1]))
    tune_interpreter()
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # Whoever asked may be gone by the time there is an answer.
    with suppress(BrokenPipeError), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(answer_questions(_opened(order)))


if __name__ == "__main__":
    main()
