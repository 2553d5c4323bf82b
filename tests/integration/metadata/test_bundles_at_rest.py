"""Bundles at rest on a real OpenBao, under the policies of Metadata and of the services."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from devstack.conditions import wait_until
from services.metadata.adapters.key_wrap import TransitKeyWrap
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.bundle_assembling import BundleAssembler
from services.metadata.flows.bundle_keeping import BundleKeeper, BundleTools
from services.metadata.flows.bundle_sealing import BundleSealer
from services.metadata.flows.instance_keys import InstanceKeys
from services.metadata.flows.key_issuance import KeyIssuance
from services.metadata.flows.key_keeping import KeyKeeper
from services.metadata.flows.key_reading import KeysNotReadyError
from services.metadata.flows.ledger_keeping import LedgerKeeper
from svc_core.adapters.instance_state import InstanceState, KeyAge, open_instance_state
from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.crypto.policy import CryptoPolicy
from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.acl import Acl, acl_from_roles
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, ServiceName
from svc_core.domain.profiles import PROFILES
from svc_core.domain.subjects import AUTH_REQUEST, RESPONDER, bundle_path
from svc_core.errors import AccessDeniedError, StaleWriteError
from svc_core.flows.bundle_recovery import BundleRecovery, Owner
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.flows.registration import Registration
from svc_core.flows.statements import IDENTITY_ALGORITHM, Author, Statements
from svc_core.runtime.health import Health
from svc_core.runtime.supervision import Loop, run_until
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire.document_heads import PART_SIZE
from svc_core.wire.identities import PublicIdentity
from svc_core.wire.status import signer_of
from tests.authority import make_author
from tests.integration.background import in_background
from tests.integration.bare_stack import RunningOpenBao, open_bare_openbao

AUTHOR: Final = make_author("metadata-1")
PINNED: Final = Statements([PublicIdentity(AUTHOR.id, IDENTITY_ALGORITHM, AUTHOR.public)])
WITHIN: Final = timedelta(seconds=30)
MANY: Final = 2500
"""Topics whose keys fill more than one part."""
TERMS: Final = count(1)
"""Of the lease: the tests share one OpenBao, and each replica comes after those before."""


@pytest.fixture(scope="module")
def openbao(server_root: Path) -> Iterator[RunningOpenBao]:
    """An OpenBao of this module's own: keys are issued into it."""
    with in_background(lambda: open_bare_openbao(server_root / "at-rest")) as running:
        yield running


def make_around() -> Surroundings:
    clock = SystemClock()
    crypto = CryptoSuite.of(CryptoPolicy())
    return Surroundings(clock, system_entropy, PROFILES["demo"], Health(clock), crypto)


def rights(more: int = 0) -> Acl:
    topics = [f"orders.kind-{n}" for n in range(more)]
    roles: dict[str, dict[str, list[str]]] = {
        GATEKEEPER: {"publish": [AUTH_REQUEST, *topics], "subscribe": [RESPONDER]},
        AUTHCONTROLLER: {"publish": [RESPONDER], "subscribe": [AUTH_REQUEST, *topics]},
    }
    return acl_from_roles(roles, known=frozenset({GATEKEEPER, AUTHCONTROLLER}))[0]


@dataclass
class Replica:
    """What one process of Metadata issues and keeps, with everything real but its lease."""

    keys: KeyIssuance
    bundles: BundleKeeper

    @property
    def version(self) -> int:
        """Version of what is issued."""
        return -1 if self.keys.snapshot is None else self.keys.snapshot.version


@asynccontextmanager
async def open_replica(
    openbao: RunningOpenBao, term: Callable[[], int | None], acl: Acl
) -> AsyncIterator[Replica]:
    """Yield a replica under Metadata's own AppRole."""
    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        store, around = OpenBaoSecretStore(session), make_around()
        instances = InstanceKeys(store, around.clock)
        keys = KeyIssuance(
            KeyKeeper(store, TransitKeyWrap(session)),
            LedgerKeeper(store, term),
            instances,
            AclSource(acl),
            around,
        )
        tools = BundleTools(BundleAssembler(around), BundleSealer(AUTHOR, system_entropy), PINNED)
        bundles = BundleKeeper(store, keys, instances, tools, around)
        keys.wake(bundles.hinted)
        yield Replica(keys, bundles)


@dataclass
class Instance:
    """One instance of a service, with a state directory and its own AppRole's token."""

    service: ServiceName
    state: InstanceState
    store: OpenBaoSecretStore

    @property
    def registration(self) -> Registration:
        """Its loop."""
        author = Author(signer_of(self.service, self.state.instance), self.state.signer)
        return Registration(
            self.store,
            self.service,
            self.state.instance,
            author,
            make_around(),
            self.state.kem.public,
        )

    @property
    def recovery(self) -> BundleRecovery:
        """What reads its bundle."""
        return BundleRecovery(
            Owner(self.service, self.state.instance, self.state.kem),
            PartedDocuments(self.store),
            PINNED,
            self.state.newest_bundle,
        )

    async def version(self) -> int:
        """Return the version of the bundle that is kept for it; -1 when there is none."""
        bundle = await self.recovery.fetch(in_use=0)
        return -1 if bundle is None else bundle.version


@asynccontextmanager
async def open_instance(
    openbao: RunningOpenBao, service: ServiceName, directory: Path
) -> AsyncIterator[Instance]:
    """Yield an instance whose state is in ``directory``."""
    age = KeyAge(datetime.now(UTC))
    state = open_instance_state(directory, service, "", system_entropy, age)
    async with open_openbao(openbao.settings(service), service) as session:
        yield Instance(service, state, OpenBaoSecretStore(session))


@asynccontextmanager
async def running(*loops: Loop) -> AsyncIterator[None]:
    """Run ``loops`` meanwhile."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until(stop, loops))
        try:
            yield
        finally:
            stop.set()


async def test_each_service_reads_its_own_bundle_and_nobody_elses(
    openbao: RunningOpenBao, tmp_path: Path
) -> None:
    async with AsyncExitStack() as resources:
        term = next(TERMS)
        replica = await resources.enter_async_context(open_replica(openbao, lambda: term, rights()))
        instances = [
            await resources.enter_async_context(open_instance(openbao, s, tmp_path / s))
            for s in (GATEKEEPER, AUTHCONTROLLER)
        ]
        registering = [instance.registration for instance in instances]
        async with running(replica.keys, replica.bundles, *registering):

            async def is_kept() -> bool:
                replica.bundles.hinted.set()
                versions = [await instance.version() for instance in instances]
                return replica.version > 0 and versions == [replica.version] * 2

            await wait_until(is_kept, part="a bundle for both", within=WITHIN)
        gatekeeper, authcontroller = instances

        for path in (
            bundle_path(AUTHCONTROLLER, authcontroller.state.instance),
            f"kem/{AUTHCONTROLLER}/{authcontroller.state.instance}",
        ):
            with pytest.raises(AccessDeniedError):
                await gatekeeper.store.fetch(path)
        own = bundle_path(GATEKEEPER, gatekeeper.state.instance)
        with pytest.raises(AccessDeniedError):
            await gatekeeper.store.store(own, {"planted": True}, expected_version=None)
        with pytest.raises(AccessDeniedError):
            await gatekeeper.store.remove(own)


async def test_a_large_bundle_lies_in_parts_and_withdrawing_it_leaves_none(
    openbao: RunningOpenBao, tmp_path: Path
) -> None:
    async with AsyncExitStack() as resources:
        term = next(TERMS)
        replica = await resources.enter_async_context(
            open_replica(openbao, lambda: term, rights(MANY))
        )
        gatekeeper = await resources.enter_async_context(
            open_instance(openbao, GATEKEEPER, tmp_path / GATEKEEPER)
        )
        async with running(replica.keys, replica.bundles, gatekeeper.registration):

            async def is_kept() -> bool:
                replica.bundles.hinted.set()
                return replica.version > 0 and await gatekeeper.version() == replica.version

            await wait_until(is_kept, part="a large bundle", within=WITHIN)
        path = bundle_path(GATEKEEPER, gatekeeper.state.instance)
        found = await PartedDocuments(gatekeeper.store).fetch(path)

        assert found is not None
        assert len(found[0]) > PART_SIZE
        assert await replica.bundles.withdraw(GATEKEEPER) >= 1
        assert await gatekeeper.version() == -1
        assert await PartedDocuments(gatekeeper.store).fetch(path) is None


async def test_two_replicas_serve_the_same_keys_and_a_deposed_one_writes_none(
    openbao: RunningOpenBao,
) -> None:
    former, later = next(TERMS), next(TERMS)
    terms: dict[str, int | None] = {"first": former, "second": None}
    async with (
        open_replica(openbao, lambda: terms["first"], rights()) as first,
        open_replica(openbao, lambda: terms["second"], rights()) as second,
    ):
        ours, theirs = await first.keys.catch_up(), await second.keys.catch_up()
        assert ours.ledger == theirs.ledger
        assert served(first) == served(second)

        # It is not told; the store alone keeps it from writing.
        terms["second"] = later
        await second.keys.catch_up()
        with pytest.raises(StaleWriteError, match=f"term {later}, not {former}"):
            await first.keys.ledgers.change(lambda ledger: ledger.rolled("order"))
        again = await first.keys.catch_up()

    assert again.ledger.term == again.ledger.issued_in == later
    assert again.version > ours.version
    assert served(first) == served(second)


def served(replica: Replica) -> list[bytes]:
    """Return every topic key that ``replica`` hands out, in order."""
    return [
        key.reveal()
        for generation in replica.keys.generations
        for topic in sorted(generation.topics)
        for key in generation.topics[topic]
    ]


async def test_a_replica_of_other_rights_hands_out_nothing(openbao: RunningOpenBao) -> None:
    term = next(TERMS)
    async with (
        open_replica(openbao, lambda: term, rights()) as holder,
        open_replica(openbao, lambda: None, rights(1)) as other,
    ):
        await holder.keys.catch_up()

        with pytest.raises(KeysNotReadyError, match="other rights"):
            await other.keys.catch_up()

    assert other.keys.snapshot is None
