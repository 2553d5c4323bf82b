"""An instance's key is registered once; nobody's key is ever replaced."""

import asyncio
from base64 import b64encode
from contextlib import suppress
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from svc_core.crypto import contexts
from svc_core.domain.identity import GATEKEEPER, InstanceName
from svc_core.domain.subjects import identity_path, kem_path
from svc_core.errors import (
    AccessDeniedError,
    ConfigError,
    IdentityError,
    SecretStoreError,
    StaleWriteError,
)
from svc_core.flows.registration import Registration
from svc_core.flows.statements import IDENTITY_ALGORITHM, Author, Statements
from svc_core.ports.secret_store import Document, Versioned
from svc_core.runtime.supervision import run_until
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire import documents, instance_kem
from svc_core.wire.identities import PublicIdentity
from tests.authority import KEM, make_author, without_threads
from tests.builders import make_surroundings
from tests.fakes.clock import LoopClock
from tests.fakes.memory_secret_store import MemorySecretStore

ME = InstanceName("gatekeeper-1")
PATH = identity_path(GATEKEEPER, ME)


@pytest.fixture
async def around() -> Surroundings:
    surroundings = make_surroundings(LoopClock())
    surroundings.health.expect(Registration.name, timedelta(seconds=10))
    return surroundings


def registration(
    store: MemorySecretStore, around: Surroundings, author: Author | None = None
) -> Registration:
    return Registration(store, GATEKEEPER, ME, author or make_author("gatekeeper"), around)


def with_kem(
    store: MemorySecretStore, around: Surroundings, *, author: Author | None = None
) -> Registration:
    """Return the registration of an instance whose bundles are kept."""
    own = author or make_author("gatekeeper/gatekeeper-1")
    return Registration(store, GATEKEEPER, ME, own, around, KEM.public)


async def run_for(seconds: float, loop: Registration) -> None:
    """Run ``loop`` for a while, or until it fails."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await run_until(stop, [loop])


async def registered(store: MemorySecretStore) -> Document:
    entry = await store.fetch(PATH)
    assert entry is not None
    return entry.data


async def test_the_public_key_is_registered_once_and_kept_well(around: Surroundings) -> None:
    store, author = MemorySecretStore(), make_author("gatekeeper")

    await run_for(60, registration(store, around, author))

    assert (await registered(store))["public"] == b64encode(author.public).decode()
    assert store.fetched.count(PATH) == 2
    assert around.health.report().ready


async def test_a_restart_finds_its_own_key(around: Surroundings) -> None:
    store = MemorySecretStore()
    await run_for(1, registration(store, around))

    await run_for(1, registration(store, around))

    entry = await store.fetch(PATH)
    assert entry is not None
    assert entry.version == 1


async def test_a_name_with_another_key_is_refused_with_advice(around: Surroundings) -> None:
    store = MemorySecretStore()
    await run_for(1, registration(store, around, make_author("an earlier disk")))
    before = await registered(store)

    with pytest.raises(IdentityError, match="another name or restore its state directory"):
        await run_for(1, registration(store, around))

    assert await registered(store) == before


class RacingStore(MemorySecretStore):
    """Somebody else registers between this one's look and its write."""

    def __init__(self, other: Author) -> None:
        super().__init__()
        self._other = other

    async def store(self, path: str, data: Document, *, expected_version: int | None) -> int:
        if expected_version == 0:
            with suppress(StaleWriteError):
                public = b64encode(self._other.public).decode()
                await super().store(path, {"public": public}, expected_version=0)
        return await super().store(path, data, expected_version=expected_version)


async def test_a_lost_race_against_itself_is_won(around: Surroundings) -> None:
    author = make_author("gatekeeper")

    await run_for(1, registration(RacingStore(author), around, author))

    assert around.health.report().ready


async def test_a_lost_race_against_another_is_refused(around: Surroundings) -> None:
    with pytest.raises(IdentityError):
        await run_for(1, registration(RacingStore(make_author("other")), around))


async def test_a_store_that_is_away_is_waited_for(around: Surroundings) -> None:
    store = MemorySecretStore(failure=SecretStoreError("OpenBao is out of reach"))
    asyncio.get_running_loop().call_later(30, setattr, store, "failure", None)

    await run_for(40, registration(store, around))

    assert await registered(store)


# --- the key that bundles are sealed to ---------------------------------------------------------


async def test_the_kem_key_is_registered_signed_by_its_instance(around: Surroundings) -> None:
    without_threads()
    store, author = MemorySecretStore(), make_author("gatekeeper/gatekeeper-1")

    await run_for(1, with_kem(store, around, author=author))

    entry = await store.fetch(kem_path(GATEKEEPER, ME))
    assert entry is not None
    own = Statements([PublicIdentity(author.id, IDENTITY_ALGORITHM, author.public)])
    body = await own.verified(documents.decode_entry(entry.data), context=contexts.INSTANCE_KEM)
    kem = instance_kem.decode(body)
    assert (kem.service, kem.instance, kem.public) == (GATEKEEPER, ME, KEM.public)


async def test_an_instance_from_before_there_were_kem_keys_registers_one_later(
    around: Surroundings,
) -> None:
    without_threads()
    store, author = MemorySecretStore(), make_author("gatekeeper/gatekeeper-1")
    await run_for(1, registration(store, around, author))
    assert await store.fetch(kem_path(GATEKEEPER, ME)) is None

    await run_for(1, with_kem(store, around))
    await run_for(1, with_kem(store, around))

    entry = await store.fetch(kem_path(GATEKEEPER, ME))
    assert entry is not None
    assert entry.version == 1


async def test_who_needs_no_bundles_registers_no_kem_key(around: Surroundings) -> None:
    store = MemorySecretStore()

    await run_for(1, registration(store, around))

    assert [path for path, _ in store.history] == [PATH]


@pytest.mark.parametrize("entry", [{"public": "planted"}, {}], ids=["planted", "nothing in it"])
async def test_a_kem_key_planted_before_ends_no_process_and_is_reported_once(
    around: Surroundings, entry: dict[str, str]
) -> None:
    without_threads()
    store = MemorySecretStore()
    store.put(kem_path(GATEKEEPER, ME), entry)

    with capture_logs() as logs:
        await run_for(60, with_kem(store, around))

    assert [e["log_level"] for e in logs if e["event"] == "kem.taken"] == ["error"]
    report = around.health.report()
    assert report.ready
    assert "no bundle is kept" in report.loops[Registration.name].detail


async def test_a_lost_race_for_the_kem_key_against_itself_is_won(around: Surroundings) -> None:
    without_threads()
    author = make_author("gatekeeper/gatekeeper-1")

    with capture_logs() as logs:
        await run_for(1, with_kem(DoublingStore(), around, author=author))

    assert [e["event"] for e in logs][-1] == "kem.registered"


class DoublingStore(MemorySecretStore):
    """Everything that is created was created just before, by the same process."""

    async def store(self, path: str, data: Document, *, expected_version: int | None) -> int:
        if expected_version == 0:
            await super().store(path, data, expected_version=0)
        return await super().store(path, data, expected_version=expected_version)


class OldPolicy(MemorySecretStore):
    """OpenBao as it was set up before there were KEM keys."""

    is_old: bool = True

    async def fetch(self, path: str) -> Versioned | None:
        if self.is_old and path.startswith("kem/"):
            raise AccessDeniedError("no rule for this path")
        return await super().fetch(path)


async def test_under_an_older_policy_everything_else_works_and_the_newer_one_is_noticed(
    around: Surroundings,
) -> None:
    without_threads()
    store = OldPolicy()
    asyncio.get_running_loop().call_later(30, setattr, store, "is_old", False)

    with capture_logs() as logs:
        await run_for(20, with_kem(store, around))
        assert around.health.report().ready
        await run_for(20, with_kem(store, around))

    assert [e["event"] for e in logs].count("kem.not_registered") == 2
    assert await store.fetch(kem_path(GATEKEEPER, ME))
    assert not around.health.report().loops[Registration.name].detail


async def test_what_was_before_is_given_up_once_and_only_when_all_is_registered(
    around: Surroundings,
) -> None:
    store, told = MemorySecretStore(), list[bool]()

    async def give_up() -> None:
        told.append(await store.fetch(kem_path(GATEKEEPER, ME)) is not None)

    loop = with_kem(store, around)
    loop.on_registered = give_up
    store.failure = SecretStoreError("OpenBao is away")
    await run_for(5, loop)
    assert told == []

    store.failure = None
    without_threads()
    await run_for(60, loop)

    assert told == [True]


async def test_what_cannot_be_given_up_stops_nobody(around: Surroundings) -> None:
    async def fail() -> None:
        raise ConfigError("the disk is read-only")

    loop = registration(MemorySecretStore(), around)
    loop.on_registered = fail
    with capture_logs() as logs:
        await run_for(60, loop)

    assert [e["event"] for e in logs].count("identity.former_kept") == 1
    assert around.health.report().ready
