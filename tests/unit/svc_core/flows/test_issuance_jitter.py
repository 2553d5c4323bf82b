"""Many processes follow one activation: OpenBao signs their leaves evenly, not all at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import pytest
from prometheus_client import CollectorRegistry

from svc_core.domain.tls import TlsMaterial
from svc_core.flows.ca_following import CaFollower, FollowedIdentity
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.leaf_issuing import LeafIssuing
from svc_core.ports.certificates import LeafRequest
from svc_core.runtime.metrics import RotationMetrics
from svc_core.runtime.supervision import run_until
from tests.authority import Authority, without_threads
from tests.builders import DEMO, make_surroundings, seeded_entropy
from tests.fakes.clock import LoopClock
from tests.fakes.memory_certificate_issuer import MemoryCertificateIssuer
from tests.unit.svc_core.flows.test_ca_following import SPEC

pytestmark = pytest.mark.timeout(60)
"""Hundreds of real signatures, on a machine that may be busy with something else."""

PARTIES: Final = 200
BUCKETS: Final = 10
JITTER_S: Final = DEMO.activation_jitter.total_seconds()
HEARTBEAT_S: Final = DEMO.heartbeat.total_seconds()
LEAF_S: Final = DEMO.leaf_ttl.total_seconds()


@dataclass
class TimedIssuer(MemoryCertificateIssuer):
    """Notes when each leaf was asked for."""

    asked_at: list[float] = field(default_factory=list)

    async def sign_leaf(self, request: LeafRequest) -> str:
        self.asked_at.append(asyncio.get_running_loop().time())
        return await super().sign_leaf(request)


@dataclass
class MemoryTlsSlot:
    """Holds what it is given, for a test in which nobody connects."""

    material: TlsMaterial | None = None

    async def adopt(self, material: TlsMaterial) -> None:
        self.material = material


class Crowd:
    """Processes that follow the same authority, each with randomness of its own."""

    def __init__(self) -> None:
        self.authority = Authority(LoopClock())
        self.issuer = TimedIssuer(self.authority.clock)
        self.identities = [FollowedIdentity(SPEC, MemoryTlsSlot()) for _ in range(PARTIES)]
        self.followers = [self._follower(n, i) for n, i in enumerate(self.identities)]

    async def hear(self) -> None:
        """Have all of them look at this moment."""
        for follower in self.followers:
            follower.hinted.set()
        await asyncio.sleep(0)

    def asked(self, *, since: float) -> list[float]:
        """Return when leaves were asked for from ``since`` on, in seconds after it."""
        return [at - since for at in self.issuer.asked_at if at >= since]

    def _follower(self, number: int, identity: FollowedIdentity) -> CaFollower:
        authority, entropy = self.authority, seeded_entropy(f"party {number}".encode())
        around = replace(make_surroundings(authority.clock), entropy=entropy)
        return CaFollower(
            DesiredReader(authority.store, authority.bus, authority.statements, DEMO.name),
            LeafIssuing(self.issuer, around),
            [identity],
            around,
            RotationMetrics(CollectorRegistry()),
        )


@asynccontextmanager
async def following() -> AsyncIterator[Crowd]:
    """Yield processes that all have leaves of issuer 100 and trust 101."""
    without_threads()
    crowd = Crowd()
    crowd.authority.certificates = crowd.issuer
    await crowd.authority.say(crowd.authority.state(1, 101, 100, active=100))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until(stop, crowd.followers))
        await asyncio.sleep(0.1)
        try:
            yield crowd
        finally:
            stop.set()


def peak_over_mean(times: Sequence[float], *, begin: float, end: float) -> float:
    """Return the fullest of equal parts of a window as a multiple of their mean."""
    width = (end - begin) / BUCKETS
    counts = Counter(int((at - begin) / width) for at in times)
    assert min(counts) >= 0
    assert max(counts) < BUCKETS
    return max(counts.values()) / (len(times) / BUCKETS)


@pytest.mark.parametrize("is_heard", [True, False], ids=["by a hint", "by their heartbeats"])
async def test_after_an_activation_the_peak_is_at_most_twice_the_mean(*, is_heard: bool) -> None:
    async with following() as crowd:
        await crowd.authority.say(crowd.authority.state(2, 101, 100))
        said_at = asyncio.get_running_loop().time()
        if is_heard:
            await crowd.hear()
        await asyncio.sleep(HEARTBEAT_S + JITTER_S + 0.05)

        asked = crowd.asked(since=said_at)
        begin = 0.0 if is_heard else HEARTBEAT_S - said_at
        assert len(asked) == PARTIES
        assert peak_over_mean(asked, begin=begin, end=begin + JITTER_S + 0.02) <= 2


async def test_leaves_of_one_activation_are_not_renewed_at_once_either() -> None:
    async with following() as crowd:
        await crowd.authority.say(crowd.authority.state(2, 101, 100))
        said_at = crowd.authority.clock.now()
        await crowd.hear()
        await asyncio.sleep(JITTER_S + 0.05)

        due = [identity.renew_at for identity in crowd.identities if identity.renew_at]
        assert len(due) == PARTIES
        seconds = [(at - said_at).total_seconds() for at in due]
        begin, end = 0.45 * LEAF_S, 0.55 * LEAF_S + JITTER_S + 0.05
        assert peak_over_mean(seconds, begin=begin, end=end) <= 2
