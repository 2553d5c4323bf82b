"""For everybody who may come back lies a bundle that nobody else opens, and for nobody else."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from services.metadata.domain.bundle_recipients import NEWCOMER, is_kept, keyed_services
from services.metadata.flows.bundle_responder import BundleTooLargeError
from services.metadata.flows.bundle_sealing import BundleSealer
from services.metadata.flows.instance_keys import KemRefusedError
from svc_core.crypto import contexts
from svc_core.crypto.kem import KemKey
from svc_core.domain.acl import Acl, acl_from_roles
from svc_core.domain.bundle import ServiceBundle
from svc_core.domain.claims import claim_path
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    GATEKEEPER,
    WATCHER,
    InstanceName,
    ServiceName,
)
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import BUNDLES_PATH, bundle_path, kem_path
from svc_core.errors import BusError, SecretStoreError
from svc_core.flows.bundle_recovery import BundleKeyError, BundleRecovery, Owner
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.flows.statements import IDENTITY_ALGORITHM, Statements
from svc_core.runtime.supervision import run_until
from svc_core.wire import documents, instance_kem, stored_bundle
from svc_core.wire.document_heads import PART_SIZE
from svc_core.wire.identities import PublicIdentity
from svc_core.wire.instance_kem import InstanceKem
from svc_core.wire.stored_bundle import StoredBundle
from tests.authority import make_author
from tests.builders import DEMO, NOW, fixed_bytes, seeded_entropy
from tests.fakes.memory_bundle_memory import MemoryBundleMemory
from tests.unit.metadata.acls import ACL, KNOWN, roles
from tests.unit.metadata.office import Office, follower_of, opened, recovery_of
from tests.unit.metadata.world import Authority, Follower, World

PERIOD_S = DEMO.keys.period.total_seconds()
LEAD_S = DEMO.keys.lead.total_seconds()
A_MOMENT_S = 0.1


@dataclass
class Archive:
    """An authority that keeps bundles, and those they are kept for."""

    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        self.authority: Authority = self.world.start_alone()
        self.gatekeeper = Follower(self.world, GATEKEEPER, InstanceName("g1"))
        self.authcontroller = Follower(self.world, AUTHCONTROLLER, InstanceName("a1"))

    async def register(self) -> None:
        """Register both services."""
        for instance in (self.gatekeeper, self.authcontroller):
            instance.register()
            await instance.register_kem()

    @asynccontextmanager
    async def at_work(self, *authorities: Authority) -> AsyncIterator[None]:
        """Run keys, keeper and responder of every authority, and wait until something is kept."""
        stop = asyncio.Event()
        loops = [
            loop
            for a in (self.authority, *authorities)
            for loop in (a.keys, a.bundles, a.responder)
        ]
        async with asyncio.TaskGroup() as group:
            group.create_task(run_until(stop, loops))
            await asyncio.sleep(A_MOMENT_S)
            try:
                yield
            finally:
                stop.set()

    @property
    def version(self) -> int:
        """Version of what is issued now."""
        snapshot = self.authority.keys.snapshot
        assert snapshot is not None
        return snapshot.version

    async def recovered(self, instance: Follower) -> ServiceBundle | None:
        """Return the bundle that ``instance`` reads."""
        return await recovery_of(self.world, instance).fetch(in_use=0)

    async def version_of(self, instance: Follower) -> int | None:
        """Return the version of what is kept for ``instance``; None when there is nothing."""
        bundle = await self.recovered(instance)
        return None if bundle is None else bundle.version

    async def record(self, instance: Follower) -> tuple[StoredBundle, int]:
        """Return what lies there, and the version of the document."""
        path = bundle_path(instance.service, instance.instance)
        found = await PartedDocuments(self.world.store).fetch(path)
        assert found is not None
        return stored_bundle.decode(found[0]), found[1]

    async def put(self, instance: Follower, payload: bytes) -> None:
        """Put something else there."""
        path = bundle_path(instance.service, instance.instance)
        _, version = await self.record(instance)
        await PartedDocuments(self.world.store).store(path, payload, expected_version=version)


async def test_what_is_kept_is_what_a_pull_gives() -> None:
    archive = Archive()
    await archive.register()
    async with archive.at_work():
        office = Office(archive.world, archive.gatekeeper)
        pulled = opened(await office.ask(await office.signed(office.request())))

        kept = await archive.recovered(archive.gatekeeper)

    assert kept is not None
    assert (kept.service, kept.version, kept.expires_at) == (
        GATEKEEPER,
        pulled.version,
        pulled.expires_at,
    )
    for one, other in ((kept.ring.topics, pulled.ring.topics),):
        assert one.keys() == other.keys()
        assert [k.secret.reveal() for k in one.values()] == [
            k.secret.reveal() for k in other.values()
        ]
    assert kept.ring.verify == pulled.ring.verify


async def test_nobody_else_opens_it() -> None:
    archive = Archive()
    await archive.register()
    async with archive.at_work():
        thief = KemKey.from_seed(SecretBytes(fixed_bytes("thief", 64)))
        recovery = BundleRecovery(
            Owner(GATEKEEPER, archive.gatekeeper.instance, thief),
            PartedDocuments(archive.world.store),
            archive.world.statements,
            MemoryBundleMemory(),
        )
        with pytest.raises(BundleKeyError):
            await recovery.fetch(in_use=0)


async def test_nothing_that_is_kept_is_readable_in_the_store() -> None:
    archive = Archive()
    await archive.register()
    async with archive.at_work():
        bundle = await archive.recovered(archive.gatekeeper)
        assert bundle is not None
        secrets = [key.secret.reveal() for key in bundle.ring.topics.values()]
        secrets += [key.seed.reveal() for key in bundle.ring.signing.values()]

    stored = repr(archive.world.store.history).encode()
    assert secrets
    for secret in secrets:
        assert secret not in stored
        assert b64encode(secret)[:-4] not in stored


async def test_every_version_follows_and_is_there_before_its_epoch_begins() -> None:
    archive = Archive()
    await archive.register()
    async with archive.at_work():
        for _ in range(3):
            await asyncio.sleep(PERIOD_S)
            for instance in (archive.gatekeeper, archive.authcontroller):
                assert await archive.version_of(instance) == archive.version
        await asyncio.sleep(PERIOD_S - LEAD_S)
        bundle = await archive.recovered(archive.gatekeeper)

    assert bundle is not None
    assert bundle.key_epoch == DEMO.keys.current(archive.world.clock.now()).number + 1


async def test_what_has_not_changed_is_written_once() -> None:
    archive = Archive()
    await archive.register()
    async with archive.at_work():
        before = await archive.record(archive.gatekeeper)
        await asyncio.sleep(2 * LEAD_S)

        assert await archive.record(archive.gatekeeper) == before


async def test_a_new_process_finds_what_is_kept_and_replaces_it_with_its_own_version() -> None:
    archive = Archive()
    await archive.register()
    async with archive.at_work():
        before = archive.version
    archive.authority = archive.world.start_alone()
    async with archive.at_work():
        assert archive.version == before + 1
        assert await archive.version_of(archive.gatekeeper) == archive.version


async def test_who_has_no_keys_has_no_bundle_kept() -> None:
    archive = Archive()
    watcher = Follower(archive.world, WATCHER, InstanceName("w1"))
    watcher.register()
    await watcher.register_kem()
    async with archive.at_work():
        await asyncio.sleep(2 * LEAD_S)

        assert await archive.world.store.fetch_names(BUNDLES_PATH) == ()
    assert keyed_services(ACL) == (AUTHCONTROLLER, GATEKEEPER)


async def test_a_newcomer_is_found_within_a_lead_and_soon_after_it_has_pulled() -> None:
    archive = Archive()
    async with archive.at_work():
        await asyncio.sleep(1)
        await archive.register()
        await asyncio.sleep(LEAD_S)
        assert await archive.version_of(archive.authcontroller) == archive.version

        late = Follower(archive.world, GATEKEEPER, InstanceName("g2"))
        late.register()
        await late.register_kem()
        follower, _ = follower_of(Office(archive.world, late), late)
        await follower.pull()
        await asyncio.sleep(A_MOMENT_S)
        assert await archive.version_of(late) == archive.version


async def test_a_replica_that_stands_by_keeps_nothing() -> None:
    archive = Archive()
    await archive.register()
    other = archive.world.start("metadata-2", term=lambda: None)
    archive.authority, holder = other, archive.authority
    async with archive.at_work():
        await asyncio.sleep(2 * LEAD_S)
        assert await archive.world.store.fetch_names(BUNDLES_PATH) == ()
    archive.authority = holder
    async with archive.at_work(other):
        await asyncio.sleep(PERIOD_S)
        _, version = await archive.record(archive.gatekeeper)

    assert version == 2


# --- what is put in the way ----------------------------------------------------------------------

Meddling = Callable[[Archive], Awaitable[None]]


async def removed(archive: Archive) -> None:
    instance = archive.gatekeeper
    await archive.world.store.remove(bundle_path(instance.service, instance.instance))


async def cut_off(archive: Archive) -> None:
    record, _ = await archive.record(archive.gatekeeper)
    await archive.put(archive.gatekeeper, stored_bundle.encode(record)[:-10])


async def no_document(archive: Archive) -> None:
    path = bundle_path(GATEKEEPER, archive.gatekeeper.instance)
    archive.world.store.put(path, {"nothing": "of ours"})


async def far_ahead_of_a_fake_authority(archive: Archive) -> None:
    """Whoever writes there could else keep the real ones out for ever."""
    record, _ = await archive.record(archive.gatekeeper)
    author = make_author("mallory")
    author.id = record.signer
    draft = replace(record, version=1 << 60)
    signature = await author.sign_bytes(
        stored_bundle.signing_input(draft), context=contexts.STORED_BUNDLE
    )
    await archive.put(archive.gatekeeper, stored_bundle.encode(replace(draft, signature=signature)))


async def a_siblings(archive: Archive) -> None:
    record, _ = await archive.record(archive.authcontroller)
    await archive.put(archive.gatekeeper, stored_bundle.encode(record))


@pytest.mark.parametrize(
    "meddle",
    [removed, cut_off, no_document, far_ahead_of_a_fake_authority, a_siblings],
    ids=lambda meddle: str(meddle.__name__),
)
async def test_what_somebody_meddled_with_is_put_right(meddle: Meddling) -> None:
    archive = Archive()
    await archive.register()
    async with archive.at_work():
        await meddle(archive)
        await asyncio.sleep(PERIOD_S)

        assert await archive.version_of(archive.gatekeeper) == archive.version


async def test_what_an_identity_signed_is_signed_anew_when_it_is_removed() -> None:
    archive = Archive()
    await archive.register()
    former, other = archive.world.author, make_author("metadata-2")
    pinned = [PublicIdentity(a.id, IDENTITY_ALGORITHM, a.public) for a in (former, other)]
    statements = Statements(pinned)
    async with archive.at_work():
        keeper = archive.authority.bundles
        sealer = BundleSealer(other, seeded_entropy(b"other"))
        keeper._tools = replace(keeper._tools, sealer=sealer, statements=statements)
        keeper.hinted.set()
        await asyncio.sleep(A_MOMENT_S)
        before, _ = await archive.record(archive.gatekeeper)

        statements.replace(pinned[1:])
        keeper.hinted.set()
        await asyncio.sleep(A_MOMENT_S)

    after, _ = await archive.record(archive.gatekeeper)
    assert (before.signer, after.signer) == (former.id, other.id)
    assert after.version == before.version


async def test_a_newer_bundle_is_never_replaced_by_an_older_one() -> None:
    archive = Archive()
    await archive.register()
    async with archive.at_work():
        before = archive.version
        newer = archive.world.start_alone("metadata-2")
        await newer.keys.catch_up()
        await asyncio.sleep(A_MOMENT_S)
    world, keeper = archive.world, newer.bundles
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until(stop, [keeper]))
        await asyncio.sleep(A_MOMENT_S)
        stop.set()
    kept = await archive.record(archive.gatekeeper)
    assert kept[0].version == before + 1

    archive.authority.bundles.hinted.set()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until(stop := asyncio.Event(), [archive.authority.bundles]))
        await asyncio.sleep(LEAD_S + 1)
        stop.set()

    assert await archive.record(archive.gatekeeper) == kept
    assert world.store.history


# --- whose key it is sealed to -------------------------------------------------------------------


async def by_a_sibling(archive: Archive) -> None:
    await archive.gatekeeper.register_kem(author=archive.authcontroller.author)


async def by_a_stranger_under_its_name(archive: Archive) -> None:
    author = make_author("mallory")
    author.id = archive.gatekeeper.author.id
    await archive.gatekeeper.register_kem(author=author)


async def of_another_instance(archive: Archive) -> None:
    await archive.gatekeeper.register_kem(instance=InstanceName("g2"))


async def signed_for_another_purpose(archive: Archive) -> None:
    gatekeeper = archive.gatekeeper
    kem = InstanceKem(
        GATEKEEPER, gatekeeper.instance, gatekeeper.kem.public, archive.world.clock.now()
    )
    document = await gatekeeper.author.sign(
        instance_kem.encode(kem), context=contexts.INSTANCE_STATUS
    )
    path = kem_path(GATEKEEPER, gatekeeper.instance)
    archive.world.store.put(path, documents.encode_entry(document))


async def unsigned(archive: Archive) -> None:
    public = b64encode(archive.gatekeeper.kem.public).decode()
    archive.world.store.put(kem_path(GATEKEEPER, archive.gatekeeper.instance), {"public": public})


async def without_an_identity(archive: Archive) -> None:
    archive.gatekeeper.instance = InstanceName("unknown")
    await archive.gatekeeper.register_kem()


@pytest.mark.parametrize(
    "plant",
    [
        by_a_sibling,
        by_a_stranger_under_its_name,
        of_another_instance,
        signed_for_another_purpose,
        unsigned,
        without_an_identity,
    ],
    ids=lambda plant: str(plant.__name__),
)
async def test_nothing_is_sealed_to_a_planted_key_and_it_is_reported_once(
    plant: Callable[[Archive], Awaitable[None]],
) -> None:
    archive = Archive()
    await archive.register()
    await plant(archive)
    with capture_logs() as logs:
        async with archive.at_work():
            await asyncio.sleep(2 * PERIOD_S)

            assert await archive.version_of(archive.authcontroller) == archive.version
    refused = [e for e in logs if e["event"] == "kem.refused"]
    assert [e["code"] for e in refused] == [KemRefusedError.code]
    names = await archive.world.store.fetch_names(f"{BUNDLES_PATH}/{GATEKEEPER}")
    assert refused[0]["of"].partition("/")[2] not in names


# --- who has none any more -----------------------------------------------------------------------


def without(service: ServiceName) -> Acl:
    """Return the rights without ``service``."""
    changed = roles()
    del changed[service]
    return acl_from_roles(changed, known=KNOWN)[0]


async def test_a_service_that_left_the_acl_has_none_kept() -> None:
    archive = Archive()
    await archive.register()
    async with archive.at_work():
        archive.world.acls.replace(without(AUTHCONTROLLER))
        await asyncio.sleep(A_MOMENT_S)

        assert await archive.world.store.fetch_names(BUNDLES_PATH) == (f"{GATEKEEPER}/",)


async def test_a_revoked_service_has_none_kept_and_its_former_instances_none_ever_again() -> None:
    archive = Archive()
    await archive.register()
    keys = archive.authority.keys
    async with archive.at_work():
        await keys.ledgers.change(lambda ledger: ledger.without(GATEKEEPER, ["g1"]))
        await keys.catch_up()
        assert await archive.authority.bundles.withdraw(GATEKEEPER) == 1
        assert await archive.version_of(archive.gatekeeper) is None
        await asyncio.sleep(PERIOD_S)
        assert await archive.version_of(archive.gatekeeper) is None

        await keys.ledgers.change(lambda ledger: ledger.lifted(GATEKEEPER))
        await keys.catch_up()
        new = Follower(archive.world, GATEKEEPER, InstanceName("g2"))
        new.register()
        await new.register_kem()
        await asyncio.sleep(PERIOD_S)
        assert await archive.version_of(archive.gatekeeper) is None
        assert await archive.version_of(new) == archive.version


async def test_an_instance_that_never_claimed_a_secret_id_is_forgotten_after_a_day() -> None:
    archive = Archive()
    for instance, age in ((archive.gatekeeper, NEWCOMER), (archive.authcontroller, NEWCOMER)):
        instance.register()
        await instance.register_kem(made_at=archive.world.clock.now() - age + timedelta(seconds=30))
    claim = claim_path(AUTHCONTROLLER, archive.authcontroller.instance)
    archive.world.store.put(claim, {"accessors": ["a"]})
    async with archive.at_work():
        assert await archive.version_of(archive.gatekeeper) == archive.version
        await asyncio.sleep(30 + LEAD_S)

        assert await archive.version_of(archive.gatekeeper) is None
        assert await archive.world.store.fetch_names(f"kem/{GATEKEEPER}") == ()
        assert await archive.version_of(archive.authcontroller) == archive.version


def test_who_claims_is_kept_for_as_long_as_it_claims() -> None:
    name, old = InstanceName("g1"), NOW - timedelta(days=100)

    assert is_kept(name, claims={"g1"}, registered_at=old, now=NOW)
    assert not is_kept(name, claims={"g2"}, registered_at=old, now=NOW)
    assert is_kept(name, claims=set(), registered_at=NOW, now=NOW)


# --- mishaps -------------------------------------------------------------------------------------


async def test_while_openbao_is_away_nothing_is_lost_and_then_it_goes_on() -> None:
    archive = Archive()
    await archive.register()
    async with archive.at_work():
        before = archive.version
        archive.world.store.failure = SecretStoreError("OpenBao is away")
        await asyncio.sleep(PERIOD_S)
        archive.world.store.failure = None
        await asyncio.sleep(LEAD_S + 5)

        assert archive.version > before
        assert await archive.version_of(archive.gatekeeper) == archive.version


@pytest.mark.parametrize("is_after", [False, True], ids=["before it happened", "after it happened"])
@pytest.mark.parametrize("effect", range(1, 9))
async def test_any_effect_may_fail_and_everything_is_kept_in_the_end(
    effect: int, *, is_after: bool
) -> None:
    archive = Archive()
    await archive.register()
    archive.world.mishaps.at, archive.world.mishaps.is_after = effect, is_after
    async with archive.at_work():
        await asyncio.sleep(PERIOD_S)

        for instance in (archive.gatekeeper, archive.authcontroller):
            assert await archive.version_of(instance) == archive.version


# --- too large to send ---------------------------------------------------------------------------


def many_topics(count: int) -> Acl:
    """Return rights on so many topics that the bundle outgrows a message."""
    changed = roles()
    topics = [f"orders.kind-{n}" for n in range(count)]
    changed[GATEKEEPER]["publish"] += topics
    changed[AUTHCONTROLLER]["subscribe"] += topics
    return acl_from_roles(changed, known=KNOWN)[0]


async def test_a_bundle_too_large_to_send_is_read_in_parts() -> None:
    archive = Archive()
    archive.world.acls.replace(many_topics(2500))
    await archive.register()
    async with archive.at_work():
        office = Office(archive.world, archive.gatekeeper)
        code = await office.refusal(await office.signed(office.request()))
        assert code == BundleTooLargeError.code

        follower, channel = follower_of(office, archive.gatekeeper)
        with pytest.raises(BusError, match=code):
            await follower.pull()

        own = recovery_of(archive.world, archive.gatekeeper)
        follower, channel = follower_of(office, archive.gatekeeper, recovery=own)
        await follower.pull()

    assert channel.version == archive.version
    assert len(channel.ring.topics) == 2502
    record, _ = await archive.record(archive.gatekeeper)
    assert len(record.sealed) > PART_SIZE
