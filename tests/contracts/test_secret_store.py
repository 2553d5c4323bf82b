"""What every `SecretStore` must do: the one in memory that tests stand on, and the real one."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.domain.identity import METADATA
from svc_core.errors import StaleWriteError
from svc_core.ports.secret_store import SecretStore
from tests.fakes.memory_secret_store import MemorySecretStore
from tests.integration.bare_stack import RunningOpenBao

KEYS = f"transport/keys/test-{os.getpid()}"


@pytest.fixture(params=["memory", pytest.param("openbao", marks=pytest.mark.integration)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[SecretStore]:
    if request.param == "memory":
        yield MemorySecretStore()
        return
    openbao: RunningOpenBao = request.getfixturevalue("openbao")
    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        real = OpenBaoSecretStore(session)
        yield real
        await real.remove(KEYS)


async def test_nothing_is_none_and_has_no_names(store: SecretStore) -> None:
    assert await store.fetch(KEYS) is None
    assert await store.fetch_names(KEYS) == ()


async def test_what_is_stored_comes_back_with_its_version(store: SecretStore) -> None:
    first = await store.store(KEYS, {"a": [1, "x"]}, expected_version=0)
    second = await store.store(KEYS, {"a": [2]}, expected_version=first)
    found = await store.fetch(KEYS)

    assert found is not None
    assert (dict(found.data), found.version, second) == ({"a": [2]}, 2, 2)


@pytest.mark.parametrize("expected", [0, 1, 3], ids=["create only", "behind", "ahead"])
async def test_a_stale_write_is_refused_and_changes_nothing(
    store: SecretStore, expected: int
) -> None:
    await store.store(KEYS, {"n": 1}, expected_version=None)
    await store.store(KEYS, {"n": 2}, expected_version=None)

    with pytest.raises(StaleWriteError):
        await store.store(KEYS, {"n": 3}, expected_version=expected)

    found = await store.fetch(KEYS)
    assert found is not None
    assert found.data == {"n": 2}


async def test_of_many_writers_one_wins(store: SecretStore) -> None:
    async def try_to(number: int) -> bool:
        try:
            await store.store(KEYS, {"n": number}, expected_version=0)
        except StaleWriteError:
            return False
        return True

    async with asyncio.TaskGroup() as group:
        attempts = [group.create_task(try_to(number)) for number in range(8)]

    assert sum(attempt.result() for attempt in attempts) == 1


async def test_what_was_removed_is_gone_and_can_be_made_again(store: SecretStore) -> None:
    await store.store(KEYS, {"n": 1}, expected_version=0)
    await store.remove(KEYS)
    await store.remove(KEYS)

    assert await store.fetch(KEYS) is None
    assert await store.store(KEYS, {"n": 2}, expected_version=0) == 1


async def test_names_are_listed_with_their_folders(store: SecretStore) -> None:
    names = [f"{KEYS}-list/a", f"{KEYS}-list/b/c"]
    for name in names:
        await store.store(name, {}, expected_version=None)

    assert await store.fetch_names(f"{KEYS}-list") == ("a", "b/")
    for name in names:
        await store.remove(name)


async def test_a_name_that_begins_alike_is_not_below(store: SecretStore) -> None:
    names = [f"{KEYS}-one/a", f"{KEYS}-one-more/b"]
    for name in names:
        await store.store(name, {}, expected_version=None)

    assert await store.fetch_names(f"{KEYS}-one") == ("a",)
    for name in names:
        await store.remove(name)


async def test_what_was_stored_is_nobody_elses_to_change(store: SecretStore) -> None:
    document = {"list": [1]}
    await store.store(KEYS, document, expected_version=None)

    document["list"].append(2)

    found = await store.fetch(KEYS)
    assert found is not None
    assert found.data == {"list": [1]}
