"""Trust first, leaves later; what fails is tried again, and what works stays in use meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest
from prometheus_client import CollectorRegistry

from svc_core.adapters.tls_contexts import client_context
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.domain.desired import DesiredState
from svc_core.domain.identity import Deployment
from svc_core.errors import BusError, SecretStoreError, SvcError
from svc_core.flows.ca_following import CaFollower, FollowedIdentity
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec
from svc_core.runtime.metrics import (
    CLIENT_RELOADS_FAILED,
    CLIENT_RELOADS_SUCCESS,
    RotationMetrics,
)
from svc_core.runtime.supervision import run_until
from tests.authority import Authority, without_threads
from tests.builders import DEMO, make_surroundings
from tests.fakes.clock import LoopClock, SteppedClock
from tests.fakes.memory_certificate_issuer import make_intermediate

SPEC = LeafSpec("gatekeeper", uris=(Deployment().spiffe_id("gatekeeper"),))
HEARTBEAT_S = DEMO.heartbeat.total_seconds()
JITTER_S = DEMO.activation_jitter.total_seconds()


@dataclass
class ScriptedConnection:
    """A live connection that moves to its identity's leaf, unless it is told to fail."""

    identity: TlsIdentity
    failures: list[SvcError] = field(default_factory=list)
    swapped_at: list[float] = field(default_factory=list)
    leaf_in_use: str = ""
    issuer: str = ""

    def connect(self) -> None:
        assert self.identity.material is not None
        self.leaf_in_use = self.identity.material.chain_pem
        self.issuer = self.identity.material.issuer

    async def swap(self) -> None:
        self.swapped_at.append(asyncio.get_running_loop().time())
        if self.failures:
            raise self.failures.pop(0)
        self.connect()


class CountingReader(DesiredReader):
    """Notes when the state was read."""

    def __init__(self, authority: Authority, reads: list[float]) -> None:
        super().__init__(authority.store, authority.bus, authority.statements, DEMO.name)
        self._reads = reads

    async def read(self) -> DesiredState | None:
        self._reads.append(asyncio.get_running_loop().time())
        return await super().read()


class Party:
    """One process that follows: an identity, its connection and the loop."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.registry = CollectorRegistry()
        self.identity = TlsIdentity(authority.clock, client_context, server=False)
        self.connection = ScriptedConnection(self.identity)
        around = make_surroundings(authority.clock)
        self.reads: list[float] = []
        self.reader = CountingReader(authority, self.reads)
        self.followed = FollowedIdentity(SPEC, self.identity, self.connection)
        self.follower = CaFollower(
            self.reader,
            LeafIssuing(authority.certificates, around),
            [self.followed],
            around,
            RotationMetrics(self.registry),
        )

    @property
    def leaf_issuer(self) -> str:
        material = self.identity.material
        return material.issuer if material else ""

    def is_on(self, issuer: str) -> bool:
        return self.leaf_issuer == issuer

    @property
    def trusts(self) -> int:
        """How many issuers the material in use trusts."""
        material = self.identity.material
        return material.trust_pem.count("BEGIN CERTIFICATE") if material else 0

    def count(self, metric: str) -> float | None:
        return self.registry.get_sample_value(metric)


@pytest.fixture
async def authority() -> Authority:
    without_threads()
    return Authority(LoopClock())


@asynccontextmanager
async def following(authority: Authority) -> AsyncIterator[Party]:
    """Yield a party that follows version 1 and is connected with a leaf of issuer 100."""
    await authority.say(authority.state(1, 100))
    party = Party(authority)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until(stop, [party.follower]))
        await asyncio.sleep(0.1)
        party.connection.connect()
        try:
            yield party
        finally:
            stop.set()


async def until(condition: Callable[[], bool], *, within_s: float) -> float:
    """Return when ``condition`` came to hold."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (virtual time: this is how it passes)
            await asyncio.sleep(0.01)
    return asyncio.get_running_loop().time()


async def test_the_first_leaf_is_of_the_active_issuer_and_acknowledged(
    authority: Authority,
) -> None:
    async with following(authority) as party:
        assert (party.leaf_issuer, party.follower.version) == ("ca-100-1", 1)
        assert await party.follower.acknowledged.wait(0)


async def test_new_trust_is_taken_at_a_hint_and_changes_no_leaf(authority: Authority) -> None:
    async with following(authority) as party:
        leaf = party.connection.leaf_in_use
        await authority.say(authority.state(2, 101, 100, active=100))
        party.follower.hinted.set()
        await asyncio.sleep(0.02)

        assert (party.follower.version, party.trusts) == (2, 2)
        assert (party.leaf_issuer, party.connection.leaf_in_use) == ("ca-100-1", leaf)
        assert party.connection.swapped_at == []


async def test_a_lost_hint_costs_a_heartbeat(authority: Authority) -> None:
    async with following(authority) as party:
        await authority.say(authority.state(2, 101, 100, active=100))

        await until(lambda: party.follower.version == 2, within_s=HEARTBEAT_S + 0.05)


async def test_after_an_activation_the_leaf_moves_within_the_jitter_window(
    authority: Authority,
) -> None:
    async with following(authority) as party:
        await authority.say(authority.state(2, 101, 100, active=100))
        party.follower.hinted.set()
        await asyncio.sleep(0.05)
        await authority.say(authority.state(3, 101, 100))
        party.follower.hinted.set()
        await asyncio.sleep(0)

        await until(lambda: party.connection.issuer == "ca-101-1", within_s=JITTER_S + 0.05)
        assert party.leaf_issuer == "ca-101-1"
        assert party.count(CLIENT_RELOADS_SUCCESS) == 1


async def test_a_clock_that_is_set_back_before_the_move_delays_it_by_no_more_than_the_window() -> (
    None
):
    clock = SteppedClock()
    authority = Authority(clock)
    without_threads()
    async with following(authority) as party:
        await authority.say(authority.state(2, 101, 100))
        party.follower.hinted.set()
        await until(lambda: party.followed.move_at is not None, within_s=0.1)
        clock.ahead = -DEMO.skew

        await until(lambda: party.connection.issuer == "ca-101-1", within_s=2 * JITTER_S + 0.1)


async def test_parties_do_not_all_move_in_the_same_instant(authority: Authority) -> None:
    async with following(authority) as party:
        moved_at = []
        for version, epochs in enumerate([(101, 100), (102, 101), (103, 102), (104, 103)], 2):
            said_at = asyncio.get_running_loop().time()
            await authority.say(authority.state(version, *epochs))
            party.follower.hinted.set()
            ended_at = await until(
                partial(party.is_on, f"ca-{epochs[0]}-1"), within_s=JITTER_S + 0.1
            )
            moved_at.append(ended_at - said_at)

        assert max(moved_at) - min(moved_at) > JITTER_S / 10


async def test_a_leaf_is_renewed_at_half_of_its_life(authority: Authority) -> None:
    async with following(authority) as party:
        first = party.identity.material
        assert first is not None

        renewed_at = await until(
            lambda: party.identity.material is not first, within_s=DEMO.leaf_ttl.total_seconds()
        )

        share = timedelta(seconds=renewed_at) / DEMO.leaf_ttl
        assert 0.44 <= share <= 0.56
        await until(lambda: len(party.connection.swapped_at) == 1, within_s=0.1)


async def test_a_swap_that_fails_is_counted_and_tried_again(authority: Authority) -> None:
    async with following(authority) as party:
        party.connection.failures = [BusError("refused"), BusError("refused")]
        await authority.say(authority.state(2, 101, 100))
        party.follower.hinted.set()

        await until(lambda: party.connection.issuer == "ca-101-1", within_s=3 * HEARTBEAT_S + 1)
        assert party.count(CLIENT_RELOADS_FAILED) == 2
        assert party.count(CLIENT_RELOADS_SUCCESS) == 1


async def test_a_hint_with_a_stale_bus_is_followed_to_the_store(authority: Authority) -> None:
    async with following(authority) as party:
        await authority.store_state(authority.state(2, 101, 100, active=100))
        party.follower.hinted.set()
        await asyncio.sleep(0.02)

        assert party.follower.version == 2


async def test_a_process_that_slept_through_its_issuers_end_takes_a_new_leaf(
    authority: Authority,
) -> None:
    async with following(authority) as party:
        await authority.say(authority.state(9, 140, 139))
        party.follower.hinted.set()

        await until(lambda: party.connection.issuer == "ca-140-1", within_s=1)
        assert (party.follower.version, party.trusts) == (9, 2)


async def test_a_leaf_that_expired_while_asleep_is_replaced(authority: Authority) -> None:
    async with following(authority) as party:
        authority.certificates.failure = SecretStoreError("OpenBao is out of reach")
        authority.store.failure = SecretStoreError("OpenBao is out of reach")
        await asyncio.sleep(DEMO.leaf_ttl.total_seconds() + 5)
        authority.store.failure = authority.certificates.failure = None
        await authority.say(authority.state(2, 101, 100))

        await until(lambda: party.connection.issuer == "ca-101-1", within_s=10)
        assert party.follower.version == 2


async def test_going_back_before_the_move_is_quiet(authority: Authority) -> None:
    async with following(authority) as party:
        await authority.publish_state(authority.state(2, 101, 100))
        party.follower.hinted.set()
        await until(lambda: party.followed.move_at is not None, within_s=0.1)
        await authority.say(authority.state(3, 100, 101))
        party.follower.hinted.set()
        await asyncio.sleep(JITTER_S + 0.1)
        reads = len(party.reads)

        await asyncio.sleep(2 * HEARTBEAT_S)

        assert party.leaf_issuer == "ca-100-1"
        assert len(party.reads) - reads <= 3


async def test_a_leaf_that_cannot_be_used_leaves_the_old_one_and_the_process(
    authority: Authority,
) -> None:
    async with following(authority) as party:
        leaf = party.connection.leaf_in_use
        await authority.say(authority.state(2, 101, 100))
        honest = authority.certificates.issuers["ca-101-1"]
        authority.certificates.issuers["ca-101-1"] = make_intermediate(
            "ca-101-1", now=authority.clock.now(), life=DEMO.ca.validity
        )
        party.follower.hinted.set()
        await asyncio.sleep(JITTER_S + 1)
        assert (party.leaf_issuer, party.connection.leaf_in_use) == ("ca-100-1", leaf)

        authority.certificates.issuers["ca-101-1"] = honest

        await until(lambda: party.connection.issuer == "ca-101-1", within_s=10)


async def test_the_store_away_leaves_everything_in_use(authority: Authority) -> None:
    async with following(authority) as party:
        authority.store.failure = SecretStoreError("OpenBao is out of reach")
        authority.certificates.failure = SecretStoreError("OpenBao is out of reach")
        await authority.publish_state(authority.state(2, 101, 100))
        await asyncio.sleep(5)

        assert (party.leaf_issuer, party.follower.version) == ("ca-100-1", 2)
        authority.certificates.failure = None
        await until(lambda: party.connection.issuer == "ca-101-1", within_s=6)
