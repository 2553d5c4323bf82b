"""What a measuring process can measure about messages, case by case.

Everything runs as in a service: one event loop, a `SecureChannel` per end, two threads for
signatures. The floor is the same signature without anything around it: the library's own call over
bytes of the same length, in as many threads as there are processors.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from benchmarks.bare import BareSigning
from benchmarks.channel_load import (
    CRYPTO_THREADS,
    PAYLOAD_SIZE,
    Opening,
    Sealing,
    bench_surroundings,
    drive,
)
from benchmarks.loop_probe import LagProbe
from benchmarks.message_keys import make_rings
from benchmarks.open_loop import Offered, offer
from benchmarks.rounds import Slice
from benchmarks.timed_loop import Operation, Stopwatch, TimedLoop
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.crypto import contexts
from svc_core.crypto.algorithms import Algorithm
from svc_core.crypto.provider_cryptography import CRYPTOGRAPHY
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.keys import KeyRing
from svc_core.domain.profiles import PROFILES
from svc_core.domain.signing_mode import SigningMode
from svc_core.flows.secure_channel import SecureChannel

_PROFILE: Final = PROFILES["production"]
_POOLS: Final = {SigningMode.SINGLE: 256, SigningMode.BATCHED: 4096}
_COVERED_SIZE: Final = 585
"""As much as the signature of one such message of `PAYLOAD_SIZE` covers."""
_DIGITS: Final = 3


class MessageCase(StrEnum):
    """What can be asked for."""

    BARE_SIGN = "bare sign"
    BARE_VERIFY = "bare verify"
    SEAL_SINGLE = "seal single"
    OPEN_SINGLE = "open single"
    SEAL_BATCHED = "seal batched"
    OPEN_BATCHED = "open batched"
    CAPACITY = "capacity"
    """Sealing in batches as fast as it goes, each message in a task of its own as in `OFFER`."""
    IDLE = "idle"
    """The event loop with nothing to do but the probe."""
    OFFER = "offer"
    """Sealing in batches by a timetable of ``rate`` messages per second."""


Measurement = Callable[[float], Coroutine[Any, Any, Slice]]


@dataclass(frozen=True, slots=True)
class MessageBench:
    """Measures the cases of `MessageCase`."""

    slices: dict[MessageCase, Measurement]
    batched: Sealing

    async def measure(self, case: str, seconds: float, **details: float) -> dict[str, Any]:
        """Measure ``case`` for about ``seconds``.

        Returns:
            the fields of a `Slice`; of `IDLE` ``lags_ms``; of `OFFER` all of `Offered` and
            ``lags_ms``.
        """
        match MessageCase(case):
            case MessageCase.IDLE:
                async with LagProbe() as probe:
                    await asyncio.sleep(seconds)
                return {"lags_ms": rounded(probe.lags_ms)}
            case MessageCase.OFFER:
                async with LagProbe() as probe:
                    found = await offer(self.batched.request, rate=details["rate"], seconds=seconds)
                return _as_answer(found) | {"lags_ms": rounded(probe.lags_ms)}
            case known:
                return asdict(await self.slices[known](seconds))


@asynccontextmanager
async def open_message_bench(algorithm: Algorithm, *, cores: int) -> AsyncIterator[MessageBench]:
    """Open channels, fill pools of messages to open, and close everything again.

    Args:
        algorithm: of every signature, bare ones too.
        cores: threads of the bare cases.
    """
    rings = make_rings(_PROFILE, algorithm, now=SystemClock().now(), entropy=system_entropy)
    payload = system_entropy(PAYLOAD_SIZE)
    slices = _bare_cases(algorithm, cores)
    async with AsyncExitStack() as stack:
        workers = stack.enter_context(ThreadPoolExecutor(CRYPTO_THREADS, "crypto"))
        ends = _Ends(stack, workers)
        sealing: dict[SigningMode, Sealing] = {}
        for mode in SigningMode:
            sealing[mode] = Sealing(await ends.producer(rings.producer, mode), payload)
            pool = await sealing[mode].pool(_POOLS[mode])
            opening = Opening(await ends.consumer(rings.consumer), rings.consumer, pool)
            slices[MessageCase(f"seal {mode}")] = _driven(sealing[mode].request)
            slices[MessageCase(f"open {mode}")] = _driven(opening.request)
        batched = sealing[SigningMode.BATCHED]
        slices[MessageCase.CAPACITY] = _driven(batched.request, in_tasks=True)
        yield MessageBench(slices, batched)


@dataclass(frozen=True, slots=True)
class _Ends:
    stack: AsyncExitStack
    workers: ThreadPoolExecutor

    async def producer(self, ring: KeyRing, mode: SigningMode) -> SecureChannel:
        channel = SecureChannel(
            bench_surroundings(_PROFILE), GATEKEEPER, self.workers, signing=mode
        )
        return await self._open(channel, ring)

    async def consumer(self, ring: KeyRing) -> SecureChannel:
        channel = SecureChannel(bench_surroundings(_PROFILE), AUTHCONTROLLER, self.workers)
        return await self._open(channel, ring)

    async def _open(self, channel: SecureChannel, ring: KeyRing) -> SecureChannel:
        channel.adopt(ring, version=1)
        return await self.stack.enter_async_context(channel)


def _driven(
    request: Callable[[], Coroutine[Any, Any, bytes]], *, in_tasks: bool = False
) -> Measurement:
    async def measure(seconds: float) -> Slice:
        if not in_tasks:
            return await drive(request, seconds=seconds)
        async with asyncio.TaskGroup() as tasks:
            return await drive(lambda: tasks.create_task(request()), seconds=seconds)

    return measure


def _bare_cases(algorithm: Algorithm, cores: int) -> dict[MessageCase, Measurement]:
    covered = system_entropy(_COVERED_SIZE)
    bare = BareSigning.of(CRYPTOGRAPHY.name, algorithm, covered, contexts.SIGNED_MESSAGE)
    return {
        MessageCase.BARE_SIGN: _threaded(bare.sign, cores),
        MessageCase.BARE_VERIFY: _threaded(bare.verify, cores),
    }


def _threaded(operation: Operation, threads: int) -> Measurement:
    loops = [TimedLoop(operation, time.perf_counter) for _ in range(threads)]

    async def measure(seconds: float) -> Slice:
        running, watch = asyncio.get_running_loop(), Stopwatch()
        with ThreadPoolExecutor(threads) as workers:
            asked = [running.run_in_executor(workers, loop.run, seconds) for loop in loops]
            counts = [(await answer).count for answer in asked]
        return watch.slice(sum(counts))

    return measure


def _as_answer(found: Offered) -> dict[str, Any]:
    return {
        "latencies_ms": rounded(found.latencies_ms),
        "refused": found.refused,
        "peak": found.peak,
        "elapsed_s": found.elapsed_s,
    }


def rounded(values: list[float]) -> list[float]:
    """Return ``values`` with as many digits as are worth handing over."""
    return [round(value, _DIGITS) for value in values]
