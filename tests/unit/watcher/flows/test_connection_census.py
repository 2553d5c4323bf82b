"""Who is counted under which issuer, and which connections are cut."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.watcher.domain.monitoring import LiveConnection, ServerFacts
from services.watcher.flows.connection_census import ConnectionCensus
from svc_core.crypto.certificates import fingerprint
from svc_core.domain.desired import CutLeaf, DesiredState, TrustedIssuer
from svc_core.domain.identity import GATEKEEPER
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.statements import Statements
from svc_core.runtime.wakeup import Wakeup
from tests.builders import DEMO, NOW, make_desired, make_surroundings
from tests.fakes.clock import LoopClock
from tests.fakes.memory_secret_store import MemorySecretStore

PATIENCE_S = DEMO.liveness.total_seconds()
LONG_S = 3 * PATIENCE_S


def make_issuer(epoch: int) -> TrustedIssuer:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ca-{epoch}-1")])
    key = ec.derive_private_key(epoch, ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(epoch)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(minutes=2))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return TrustedIssuer(f"ca-{epoch}-1", epoch, pem, "", NOW + timedelta(minutes=2))


OLD, ACTIVE, NEW = (make_issuer(epoch) for epoch in (99, 100, 101))


def connection(cid: int, *issuers: TrustedIssuer, user: str = "gatekeeper") -> LiveConnection:
    """Return a connection that sent its leaf and these certificates after it."""
    return LiveConnection(cid, user, ("leaf", *(fingerprint(i.pem) for i in issuers)))


@dataclass
class ScriptedServers:
    """One server whose connections the test decides; a kick ends one."""

    connections: list[LiveConnection] = field(default_factory=list)
    kicked: list[int] = field(default_factory=list)

    async def fetch_facts(self) -> Mapping[str, ServerFacts]:
        return {"n1": ServerFacts("n1", "ID1", "then", "")}

    async def reload(self, server_id: str) -> str:
        raise AssertionError(f"nobody asked for a reload of {server_id}")

    async def fetch_connections(self, server_id: str) -> Sequence[LiveConnection]:
        assert server_id == "ID1"
        return tuple(self.connections)

    async def kick(self, server_id: str, cid: int) -> None:
        assert server_id == "ID1"
        self.kicked.append(cid)
        self.connections = [c for c in self.connections if c.cid != cid]


@dataclass
class Scene:
    """A running census."""

    servers: ScriptedServers
    census: ConnectionCensus
    reader: DesiredReader


@asynccontextmanager
async def counting(desired: DesiredState, *connections: LiveConnection) -> AsyncIterator[Scene]:
    clock = LoopClock()
    reader = DesiredReader(MemorySecretStore(), None, Statements(()), DEMO.name)
    reader.newest = desired
    servers = ScriptedServers(list(connections))
    around = make_surroundings(clock)
    census = ConnectionCensus(reader, servers, Wakeup(), around)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(census.run())
        yield Scene(servers, census, reader)
        task.cancel()


def desiring(*issuers: TrustedIssuer, kicked: tuple[str, ...] = ()) -> DesiredState:
    return make_desired(issuers=issuers, active=ACTIVE.name, kicked_issuers=kicked)


async def test_connections_are_counted_by_the_issuer_they_show() -> None:
    shown = (connection(1, ACTIVE), connection(2, ACTIVE), connection(3, OLD), connection(4))

    async with counting(desiring(ACTIVE, OLD), *shown) as scene:
        await asyncio.sleep(0.01)

        assert scene.census.connections == {ACTIVE.name: 2, OLD.name: 1, "?": 1}
        assert scene.servers.kicked == []


async def test_connections_of_a_named_issuer_are_cut_at_once() -> None:
    shown = (connection(1, ACTIVE), connection(2, OLD))

    async with counting(desiring(ACTIVE, OLD, kicked=(OLD.name,)), *shown) as scene:
        await asyncio.sleep(0.01)

        assert scene.servers.kicked == [2]


async def test_connections_of_trusted_issuers_stay() -> None:
    shown = (connection(1, ACTIVE), connection(2, OLD), connection(3, NEW))

    async with counting(desiring(NEW, ACTIVE, OLD), *shown) as scene:
        await asyncio.sleep(LONG_S)

        assert scene.servers.kicked == []


async def test_a_connection_outlives_the_trust_in_its_issuer_by_moments_only() -> None:
    async with counting(desiring(ACTIVE, OLD), connection(1, ACTIVE), connection(2, OLD)) as scene:
        await asyncio.sleep(1)
        scene.reader.newest = desiring(ACTIVE)
        await asyncio.sleep(PATIENCE_S - 0.2)
        early = list(scene.servers.kicked)
        await asyncio.sleep(1.5)

        assert early == []
        assert scene.servers.kicked == [2]


@pytest.mark.parametrize("shown", [(), (OLD,)], ids=["no issuer", "an issuer never trusted"])
async def test_a_connection_that_does_not_show_a_trusted_issuer_is_cut(
    shown: tuple[TrustedIssuer, ...],
) -> None:
    async with counting(desiring(ACTIVE), connection(1, *shown), connection(2, ACTIVE)) as scene:
        await asyncio.sleep(LONG_S)

        assert scene.servers.kicked == [1]


async def test_a_connection_that_is_still_shaking_hands_is_left_alone() -> None:
    async with counting(desiring(ACTIVE), connection(1, user="")) as scene:
        await asyncio.sleep(LONG_S)

        assert scene.servers.kicked == []


async def test_a_watcher_that_learns_of_an_issuer_late_cuts_nobody() -> None:
    async with counting(desiring(ACTIVE), connection(1, NEW)) as scene:
        await asyncio.sleep(PATIENCE_S - 0.5)
        scene.reader.newest = replace(desiring(NEW, ACTIVE), version=4)
        await asyncio.sleep(LONG_S)

        assert scene.servers.kicked == []
        assert scene.census.connections == {NEW.name: 1}


async def test_whoever_is_left_of_a_revoked_service_is_cut_and_nobody_else() -> None:
    revoked = connection(1, ACTIVE, user="spiffe://securetransport.local/ns/default/sa/gatekeeper")
    alike = connection(2, ACTIVE, user="spiffe://securetransport.local/ns/default/sa/gatekeeper-2")
    desired = desiring(ACTIVE)

    async with counting(desired, revoked, alike) as scene:
        await asyncio.sleep(0.01)
        assert scene.servers.kicked == []
        scene.reader.newest = replace(desired, revoked=(GATEKEEPER,))
        await asyncio.sleep(1.1)

        assert scene.servers.kicked == [1]


SPIFFE = "spiffe://securetransport.local/ns/default/sa/"


async def test_a_leaf_that_was_named_is_cut_for_its_own_service_only() -> None:
    silent = replace(connection(1, ACTIVE, user=SPIFFE + "gatekeeper"), fingerprints=("aa", "x"))
    named_by_another = replace(silent, cid=2, user=SPIFFE + "authcontroller")
    moved_on = replace(silent, cid=3, fingerprints=("bb", fingerprint(ACTIVE.pem)))
    shown = [
        replace(c, fingerprints=(c.leaf, fingerprint(ACTIVE.pem)))
        for c in (silent, named_by_another, moved_on)
    ]
    desired = replace(desiring(ACTIVE), cut_leaves=(CutLeaf(GATEKEEPER, "aa"),))

    async with counting(desired, *shown) as scene:
        await asyncio.sleep(1.1)

        assert scene.servers.kicked == [1]


async def test_nobody_stays_on_a_fenced_server_but_who_has_to_look_at_it() -> None:
    users = (SPIFFE + "gatekeeper", SPIFFE + "canary", SPIFFE + "watcher-sys", "")
    shown = [connection(cid, ACTIVE, user=user) for cid, user in enumerate(users, 1)]

    async with counting(desiring(ACTIVE), *shown) as scene:
        await asyncio.sleep(0.01)
        assert scene.servers.kicked == []
        scene.reader.newest = replace(desiring(ACTIVE), fenced=("n1",))
        await asyncio.sleep(1.1)

        assert scene.servers.kicked == [1]
        assert scene.census.connections == {}


async def test_the_fence_of_one_server_is_nothing_to_another() -> None:
    mine = connection(1, ACTIVE, user=SPIFFE + "gatekeeper")

    async with counting(replace(desiring(ACTIVE), fenced=("n2",)), mine) as scene:
        await asyncio.sleep(1.1)

        assert scene.servers.kicked == []
