"""While the authority is away keys come from the store, by the rules of a pull, never older."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from svc_core.crypto.kem import KemKey
from svc_core.domain.bundle import ServiceBundle
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, InstanceName
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import AUTH_REQUEST, bundle_path
from svc_core.errors import (
    AccessDeniedError,
    BundleExpiredError,
    BundleRecipientError,
    BundleRollbackError,
    BusError,
    IdentityError,
    MalformedMessageError,
    ProfileMismatchError,
    SecretStoreError,
    SvcError,
    VerificationError,
)
from svc_core.flows.bundle_following import BundleFollower, Recipient
from svc_core.flows.bundle_recovery import BundleKeyError, BundleRecovery, Owner
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.flows.secure_channel import SecureChannel
from svc_core.ports.bus import Responder
from svc_core.runtime.supervision import run_until
from svc_core.wire import bundle_exchange, stored_bundle
from tests.authority import (
    KEM,
    Authority,
    BundleOffice,
    make_author,
    stored_record,
    without_threads,
)
from tests.builders import (
    DEMO,
    NOW,
    InlineExecutor,
    fixed_bytes,
    make_bundle,
    make_surroundings,
)
from tests.fakes.memory_bundle_memory import MemoryBundleMemory

ME = InstanceName("gatekeeper-1")
PATH = bundle_path(GATEKEEPER, ME)
PERIOD_S = DEMO.keys.period.total_seconds()
LEAD_S = DEMO.keys.lead.total_seconds()


@dataclass
class World:
    """One gatekeeper, an authority that is away, and what it stored before it went."""

    authority: Authority = field(default_factory=Authority)
    memory: MemoryBundleMemory = field(default_factory=MemoryBundleMemory)
    kem: KemKey = KEM

    def __post_init__(self) -> None:
        self.office = BundleOffice(
            self.authority.author, make_bundle(version=7), self.authority.clock
        )
        self.start()

    def start(self) -> None:
        """Start the service anew: it remembers what is on its disk."""
        clock = self.authority.clock
        self.around = make_surroundings(clock)
        self.channel = SecureChannel(self.around, GATEKEEPER, InlineExecutor())
        self.follower = BundleFollower(
            Recipient(GATEKEEPER, ME, make_author("gatekeeper/gatekeeper-1")),
            self.authority.bus,
            self.channel,
            self.authority.statements,
            self.around,
            BundleRecovery(
                Owner(GATEKEEPER, ME, self.kem),
                PartedDocuments(self.authority.store),
                self.authority.statements,
                self.memory,
            ),
        )

    async def keep(self, raw: bytes) -> None:
        """Store ``raw`` where the bundle belongs, over whatever is there."""
        documents = PartedDocuments(self.authority.store)
        found = await documents.fetch(PATH)
        await documents.store(PATH, raw, expected_version=found[1] if found else 0)

    async def keep_bundle(self, bundle: ServiceBundle) -> None:
        """Store ``bundle`` as the authority does."""
        await self.keep(stored_bundle.encode(await stored_record(bundle)))

    def answered(self, responder: Responder | None = None) -> AbstractAsyncContextManager[None]:
        """Have the authority back meanwhile."""
        return self.office.answering(self.authority.bus, responder)


@pytest.fixture
async def world() -> World:
    without_threads()
    return World()


async def test_a_service_that_starts_while_the_authority_is_away_has_its_keys(
    world: World,
) -> None:
    await world.keep_bundle(make_bundle(version=7))

    with capture_logs() as logs:
        await world.follower.pull()

    assert world.channel.version == world.memory.version == 7
    assert await world.channel.seal(AUTH_REQUEST, b"hi", message_type="t", message_id="i")
    assert [e["event"] for e in logs] == ["bundle.recovered", "bundle.adopted"]


async def test_a_running_service_takes_over_newer_keys_that_are_stored(world: World) -> None:
    async with world.answered():
        await world.follower.pull()
    await world.keep_bundle(make_bundle(version=8))

    await world.follower.pull()

    assert world.channel.version == 8


async def test_where_nothing_newer_is_stored_the_authority_is_simply_away(world: World) -> None:
    with pytest.raises(BusError):
        await world.follower.pull()
    await world.keep_bundle(make_bundle(version=7))
    await world.follower.pull()

    with pytest.raises(BusError):
        await world.follower.pull()


async def test_a_bundle_too_large_to_send_is_read_where_it_is_stored(world: World) -> None:
    await world.keep_bundle(make_bundle(version=9))

    async def refuse(_raw: bytes) -> bytes:
        return bundle_exchange.encode_refusal("bundle.too_large_to_send")

    async with world.answered(refuse):
        await world.follower.pull()

    assert world.channel.version == 9


async def test_an_answer_is_believed_before_what_is_stored(world: World) -> None:
    await world.keep_bundle(make_bundle(version=8))

    async with world.answered():
        await world.follower.pull()

    assert world.channel.version == 7
    assert PATH not in world.authority.store.fetched[1:]


@pytest.mark.parametrize("failure", [SecretStoreError("away"), AccessDeniedError("revoked")])
async def test_while_openbao_is_away_too_the_pull_says_why_it_failed(
    world: World, failure: SvcError
) -> None:
    world.authority.store.failure = failure

    with pytest.raises(BusError):
        await world.follower.pull()


# --- what is refused, and how -------------------------------------------------------------------

Fault = Callable[[World], Awaitable[bytes]]


async def anothers_bundle(_world: World) -> bytes:
    """AuthController's record, put where Gatekeeper looks."""
    return stored_bundle.encode(await stored_record(make_bundle(AUTHCONTROLLER, version=8)))


async def a_siblings_bundle(_world: World) -> bytes:
    record = await stored_record(make_bundle(version=8), instance=InstanceName("gatekeeper-2"))
    return stored_bundle.encode(record)


async def anothers_keys_under_ones_own_name(_world: World) -> bytes:
    """Metadata's own mistake, or a key of it that was stolen: the inside is checked as well."""
    record = await stored_record(make_bundle(AUTHCONTROLLER, version=8), service=GATEKEEPER)
    return stored_bundle.encode(record)


async def an_older_bundle(_world: World) -> bytes:
    return stored_bundle.encode(await stored_record(make_bundle(version=6)))


async def of_a_fake_authority(_world: World) -> bytes:
    record = await stored_record(make_bundle(version=1 << 60), author=make_author("mallory"))
    return stored_bundle.encode(record)


async def of_a_fake_under_the_pinned_name(world: World) -> bytes:
    author = make_author("mallory")
    author.id = world.authority.author.id
    record = await stored_record(make_bundle(version=1 << 60), author=author)
    return stored_bundle.encode(record)


async def sealed_to_another_key(_world: World) -> bytes:
    digest = stored_bundle.key_digest(fixed_bytes("another key", 1568))
    return stored_bundle.encode(await stored_record(make_bundle(version=8), recipient_key=digest))


async def with_another_version_outside(_world: World) -> bytes:
    return stored_bundle.encode(await stored_record(make_bundle(version=8), version=9))


async def with_a_longer_life_outside(_world: World) -> bytes:
    later = NOW + timedelta(days=1)
    return stored_bundle.encode(await stored_record(make_bundle(version=8), expires_at=later))


async def relabelled_after_signing(_world: World) -> bytes:
    record = await stored_record(make_bundle(version=6))
    return stored_bundle.encode(replace(record, version=8))


async def damaged(_world: World) -> bytes:
    record = await stored_record(make_bundle(version=8))
    sealed = record.sealed[:-1] + bytes([record.sealed[-1] ^ 1])
    return stored_bundle.encode(replace(record, sealed=sealed))


async def cut_off(_world: World) -> bytes:
    return stored_bundle.encode(await stored_record(make_bundle(version=8)))[:-100]


async def expired(_world: World) -> bytes:
    ended = NOW - timedelta(microseconds=1)
    return stored_bundle.encode(await stored_record(make_bundle(version=8, expires_at=ended)))


async def of_another_profile(_world: World) -> bytes:
    record = await stored_record(make_bundle(version=8, profile="production"))
    return stored_bundle.encode(record)


FAULTS: list[tuple[Fault, type[SvcError]]] = [
    (anothers_bundle, BundleRecipientError),
    (a_siblings_bundle, BundleRecipientError),
    (anothers_keys_under_ones_own_name, BundleRecipientError),
    (an_older_bundle, BundleRollbackError),
    (of_a_fake_authority, IdentityError),
    (of_a_fake_under_the_pinned_name, VerificationError),
    (sealed_to_another_key, BundleKeyError),
    (with_another_version_outside, VerificationError),
    (with_a_longer_life_outside, VerificationError),
    (relabelled_after_signing, VerificationError),
    (damaged, VerificationError),
    (cut_off, MalformedMessageError),
    (expired, BundleExpiredError),
    (of_another_profile, ProfileMismatchError),
]


@pytest.mark.parametrize(("fault", "error"), [pytest.param(f, e, id=f.__name__) for f, e in FAULTS])
async def test_what_is_not_to_be_trusted_is_refused_and_the_keys_stay(
    world: World, fault: Fault, error: type[SvcError]
) -> None:
    async with world.answered():
        await world.follower.pull()
    await world.keep(await fault(world))

    with pytest.raises(error) as refusal:
        await world.follower.pull()

    assert refusal.value.code == error.code
    assert world.channel.version == world.memory.version == 7


async def test_an_older_bundle_is_refused_after_a_restart_too(world: World) -> None:
    async with world.answered():
        await world.follower.pull()
    await world.keep(await an_older_bundle(world))

    world.start()
    with pytest.raises(BundleRollbackError):
        await world.follower.pull()

    assert world.channel.version == 0


async def test_a_pulled_bundle_is_fresh_whatever_was_used_before(world: World) -> None:
    """OpenBao was put back from yesterday's snapshot, and the authority says so itself."""
    world.memory.version = 99
    async with world.answered():
        await world.follower.pull()

    assert world.channel.version == world.memory.version == 7


async def test_a_full_disk_keeps_no_keys_out(world: World) -> None:
    world.memory.is_full = True

    with capture_logs() as logs:
        async with world.answered():
            await world.follower.pull()

    assert world.channel.version == 7
    assert "bundle.not_remembered" in [e["event"] for e in logs]


# --- the loop -----------------------------------------------------------------------------------


async def test_after_a_recovery_the_authority_is_asked_again_soon(world: World) -> None:
    await world.keep_bundle(make_bundle(version=7))
    world.office.bundle = make_bundle(version=8)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until(stop, [world.follower]))
        await asyncio.sleep(3.5)
        assert world.channel.version == 7
        async with world.answered():
            await asyncio.sleep(PERIOD_S - LEAD_S - 4.5)
            stop.set()

    assert world.channel.version == 8
    assert len(world.office.pulled_at) == 1


async def test_what_is_stored_is_followed_epoch_after_epoch(world: World) -> None:
    """NATS is away, the authority is not."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until(stop, [world.follower]))
        for version in range(7, 12):
            now = world.authority.clock.now()
            await world.keep_bundle(make_bundle(version=version, now=now))
            await asyncio.sleep(PERIOD_S)
            assert world.channel.version == version
        stop.set()


async def test_a_worthless_bundle_ends_no_process(world: World) -> None:
    await world.keep(b"C1 nonsense")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until(stop, [world.follower]))
        await asyncio.sleep(10)
        await world.keep_bundle(make_bundle(version=7))
        await asyncio.sleep(10)
        stop.set()

    assert world.channel.version == 7


def test_the_owner_does_not_print_its_key() -> None:
    kem = KemKey.from_seed(SecretBytes(fixed_bytes("seed", 64)))

    assert fixed_bytes("seed", 64).hex() not in repr(Owner(GATEKEEPER, ME, kem))
