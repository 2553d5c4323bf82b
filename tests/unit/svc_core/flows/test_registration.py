"""An instance's key is registered once; nobody's key is ever replaced."""

import asyncio
from base64 import b64encode
from contextlib import suppress
from datetime import timedelta

import pytest

from svc_core.domain.identity import GATEKEEPER, InstanceName
from svc_core.domain.subjects import identity_path
from svc_core.errors import IdentityError, SecretStoreError, StaleWriteError
from svc_core.flows.registration import Registration
from svc_core.flows.statements import Author
from svc_core.ports.secret_store import Document
from svc_core.runtime.supervision import run_until
from svc_core.runtime.surroundings import Surroundings
from tests.authority import make_author
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
