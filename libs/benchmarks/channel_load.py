"""Drives two real `SecureChannel` ends as hard as they go: one seals, the other opens."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from benchmarks.rounds import Slice
from benchmarks.timed_loop import Stopwatch
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.crypto.algorithms import Algorithm
from svc_core.crypto.policy import AcceptedAlgorithms, CryptoPolicy
from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.keys import KeyRing
from svc_core.domain.profiles import RotationProfile
from svc_core.domain.subjects import AUTH_REQUEST
from svc_core.flows.secure_channel import SecureChannel
from svc_core.runtime.health import Health
from svc_core.runtime.surroundings import Surroundings

PAYLOAD_SIZE: Final = 300
SUBMITTERS: Final = 256
"""Messages under way at a time: four full batches, so that the next is always ready."""

CRYPTO_THREADS: Final = 2
"""For signatures; as many as a service has."""

Request = Callable[[], Awaitable[object]]


def bench_surroundings(profile: RotationProfile) -> Surroundings:
    """Return what a service's channel has around it; every algorithm is accepted."""
    clock = SystemClock()
    crypto = CryptoSuite.of(CryptoPolicy(messages=AcceptedAlgorithms.of(*Algorithm)))
    return Surroundings(clock, system_entropy, profile, Health(clock), crypto)


async def drive(request: Request, *, seconds: float, submitters: int = SUBMITTERS) -> Slice:
    """Return how often ``request`` was done by as many as ``submitters`` at a time.

    Each asks again as soon as it has its answer until ``seconds`` are over; what is under way then
    is waited for and counted. At least one request per submitter is made.
    """
    done = count()
    watch = Stopwatch()

    async def submit() -> None:
        while True:
            await request()
            next(done)
            if watch.wall_s >= seconds:
                return

    async with asyncio.TaskGroup() as tasks:
        for _ in range(submitters):
            tasks.create_task(submit())
    return watch.slice(next(done))


class Sealing:
    """Seals the same payload under ever new message ids."""

    def __init__(self, channel: SecureChannel, payload: bytes) -> None:
        self._channel = channel
        self._payload = payload
        self._numbers = count()

    async def request(self) -> bytes:
        """Return one more sealed message."""
        return await self._channel.seal(
            AUTH_REQUEST,
            self._payload,
            message_type="authRequest",
            message_id=f"bench-{next(self._numbers)}",
        )

    async def pool(self, size: int) -> list[bytes]:
        """Return at least ``size`` messages in the order in which they were sealed."""
        sealed: list[bytes] = []

        async def fill() -> None:
            while len(sealed) < size:
                sealed.append(await self.request())

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(size, SUBMITTERS)):
                tasks.create_task(fill())
        return sealed


@dataclass(slots=True)
class Opening:
    """Opens messages of a pool, each once per round.

    Before each round the keys are adopted anew, which makes the channel forget the batch roots it
    has verified: otherwise only the first round would pay for signatures.
    """

    channel: SecureChannel
    ring: KeyRing
    pool: Sequence[bytes]
    position: int = 0

    async def request(self) -> bytes:
        """Open the next message and return its payload."""
        if self.position == 0:
            self.channel.adopt(self.ring, self.channel.version + 1)
        raw = self.pool[self.position]
        self.position = (self.position + 1) % len(self.pool)
        return (await self.channel.open(raw, AUTH_REQUEST)).payload
