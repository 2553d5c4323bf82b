"""What a measuring process can measure about the transport, case by case.

Both ends of an exchange run in this one process and on one event loop, as the only thing on their
processor: so the time of an exchange is what the client side costs, and can be held against the
time of its parts.
"""

from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from benchmarks.bare_exchange import open_bare_exchange, open_client
from benchmarks.channel_load import CRYPTO_THREADS, Opening, Sealing, bench_surroundings, drive
from benchmarks.exchanges import Exchange, Lines
from benchmarks.loop_probe import LagProbe
from benchmarks.message_bench import rounded
from benchmarks.message_keys import make_talking_rings
from benchmarks.open_loop import offer
from benchmarks.places import ServerPlace
from benchmarks.sealed_exchange import SealedTalk, open_sealed_exchange
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.crypto.algorithms import Algorithm
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, ServiceName
from svc_core.domain.keys import KeyRing
from svc_core.domain.profiles import PROFILES
from svc_core.domain.signing_mode import SigningMode
from svc_core.flows.secure_channel import SecureChannel

_PROFILE: Final = PROFILES["production"]
_POOL: Final = 4096


class TransportCase(StrEnum):
    """What can be asked for; each as fast as it goes, or with ``rate`` by a timetable."""

    SEAL = "seal batched"
    OPEN = "open batched"
    """Both as ``bench messages`` has them, and with as many under way."""
    BARE = "bare nats-py"
    """As many bytes moved, stored and acknowledged by nats-py alone."""
    SEALED = "sealed exchange"
    """Request and answer as the services have them."""


@dataclass(frozen=True, slots=True)
class TransportBench:
    """Measures the cases of `TransportCase`."""

    exchanges: Mapping[TransportCase, Exchange]

    async def measure(self, case: str, seconds: float, **details: float) -> dict[str, Any]:
        """Measure ``case`` for about ``seconds``.

        Returns:
            the fields of a `Slice`; with a ``rate`` those of `Offered` and ``lags_ms``.
        """
        exchange = self.exchanges[TransportCase(case)]
        if "rate" not in details:
            return asdict(await drive(exchange.request, seconds=seconds))
        async with LagProbe() as probe:
            found = await offer(exchange.request, rate=details["rate"], seconds=seconds)
        found.latencies_ms = rounded(found.latencies_ms)
        return asdict(found) | {"lags_ms": rounded(probe.lags_ms)}


@asynccontextmanager
async def open_transport_bench(
    place: ServerPlace, algorithm: Algorithm, *, name: str
) -> AsyncIterator[TransportBench]:
    """Make keys, declare streams, connect everything, and close it again.

    Args:
        place: the server.
        algorithm: of every signature.
        name: no other measuring process on this server has it.
    """
    sealed_lines, bare_lines = Lines.called(f"{name}.sealed"), Lines.called(f"{name}.bare")
    async with AsyncExitStack() as stack:
        ends = await stack.enter_async_context(_open_ends(algorithm))
        talk = SealedTalk(ends.asking, ends.answering)
        sealing = Sealing(ends.asking, talk.payload)
        opening = Opening(ends.opening, ends.ring, await sealing.pool(_POOL))
        async with open_client(place, GATEKEEPER) as client:
            await sealed_lines.declare(client)
            await bare_lines.declare(client)
        sizes = await talk.sizes()
        exchanges: dict[TransportCase, Exchange] = {
            TransportCase.SEAL: sealing,
            TransportCase.OPEN: opening,
            TransportCase.BARE: await stack.enter_async_context(
                open_bare_exchange(place, bare_lines, sizes=sizes)
            ),
            TransportCase.SEALED: await stack.enter_async_context(
                open_sealed_exchange(place, sealed_lines, talk)
            ),
        }
        yield TransportBench(exchanges)


@dataclass(frozen=True, slots=True)
class _Ends:
    asking: SecureChannel
    answering: SecureChannel
    opening: SecureChannel
    """Only opens, and forgets now and then which batches it knows."""
    ring: KeyRing
    """Of the last two."""


@asynccontextmanager
async def _open_ends(algorithm: Algorithm) -> AsyncIterator[_Ends]:
    now, around = SystemClock().now(), bench_surroundings(_PROFILE)
    rings = make_talking_rings(_PROFILE, algorithm, now=now, entropy=system_entropy)
    with ThreadPoolExecutor(CRYPTO_THREADS, "crypto") as workers:
        async with AsyncExitStack() as stack:

            async def channel(owner: ServiceName, ring: KeyRing) -> SecureChannel:
                made = SecureChannel(around, owner, workers, signing=SigningMode.BATCHED)
                made.adopt(ring, version=1)
                return await stack.enter_async_context(made)

            yield _Ends(
                asking=await channel(GATEKEEPER, rings.producer),
                answering=await channel(AUTHCONTROLLER, rings.consumer),
                opening=await channel(AUTHCONTROLLER, rings.consumer),
                ring=rings.consumer,
            )
