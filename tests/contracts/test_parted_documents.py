"""Documents in parts on the store in memory and on the real one, whose entries have a limit."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.domain.identity import METADATA
from svc_core.errors import SecretStoreError, StaleWriteError
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.ports.secret_store import SecretStore
from svc_core.wire.document_heads import PART_SIZE
from tests.builders import fixed_bytes
from tests.fakes.memory_secret_store import MemorySecretStore
from tests.integration.bare_stack import RunningOpenBao

FOLDER = f"transport/keys/test-{os.getpid()}"
PATH = f"{FOLDER}/1"
OLD, NEW = fixed_bytes("old", 5 * PART_SIZE + 1), fixed_bytes("new", 2 * PART_SIZE)
SMALL = b"small"


@dataclass(frozen=True)
class Place:
    """A store, and documents in it."""

    store: SecretStore

    @property
    def documents(self) -> PartedDocuments:
        """As each process has them."""
        return PartedDocuments(self.store)


@pytest.fixture(params=["memory", pytest.param("openbao", marks=pytest.mark.integration)])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "memory":
        yield Place(MemorySecretStore())
        return
    openbao: RunningOpenBao = request.getfixturevalue("openbao")
    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        real = OpenBaoSecretStore(session)
        yield Place(real)
        await PartedDocuments(real).remove(PATH)


async def test_any_size_comes_back_with_its_version(place: Place) -> None:
    for number, payload in enumerate([OLD, b"", NEW, SMALL], start=1):
        assert await place.documents.store(PATH, payload, expected_version=number - 1) == number
        assert await place.documents.fetch(PATH) == (payload, number)


async def test_what_was_replaced_is_destroyed_and_a_removed_document_leaves_nothing(
    place: Place,
) -> None:
    await place.documents.store(PATH, OLD, expected_version=0)
    former = await place.store.fetch_names(f"{PATH}.parts")
    await place.documents.store(PATH, NEW, expected_version=1)

    kept = await place.store.fetch_names(f"{PATH}.parts")
    assert (len(former), len(kept)) == (6, 2)
    assert not set(former) & set(kept)
    assert await place.documents.fetch_names(FOLDER) == ("1",)

    await place.documents.remove(PATH)
    assert await place.store.fetch_names(FOLDER) == ()
    assert await place.documents.fetch(PATH) is None


@pytest.mark.parametrize("expected", [0, 2], ids=["create only", "ahead"])
async def test_a_stale_write_is_refused_and_changes_nothing(place: Place, expected: int) -> None:
    await place.documents.store(PATH, OLD, expected_version=0)

    with pytest.raises(StaleWriteError):
        await place.documents.store(PATH, NEW, expected_version=expected)

    assert await place.documents.fetch(PATH) == (OLD, 1)


@pytest.mark.integration
async def test_one_entry_of_the_real_store_takes_less_than_a_document(
    openbao: RunningOpenBao,
) -> None:
    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        with pytest.raises(SecretStoreError):
            await OpenBaoSecretStore(session).store(
                PATH, {"part": "A" * (2 * PART_SIZE)}, expected_version=0
            )
