"""The journal has one writer at a time; who comes second is told, and reads again."""

import pytest

from services.metadata.domain import journal as journal_codec
from services.metadata.domain.journal import Journal
from services.metadata.flows.journal_keeping import JournalKeeper
from svc_core.domain.subjects import JOURNAL_PATH
from svc_core.errors import MalformedMessageError, SecretStoreError, StaleWriteError
from tests.fakes.memory_secret_store import MemorySecretStore
from tests.fakes.mishaps import Mishaps


async def open_keeper(store: MemorySecretStore, holder: str = "metadata-1") -> JournalKeeper:
    """Return a keeper that has read the journal."""
    keeper = JournalKeeper(store, holder)
    await keeper.load()
    return keeper


async def stored(store: MemorySecretStore) -> Journal:
    """Return the journal as it is stored."""
    found = await store.fetch(JOURNAL_PATH)
    assert found is not None
    return journal_codec.decode(found.data)


async def test_a_journal_that_was_never_written_is_empty() -> None:
    keeper = await open_keeper(MemorySecretStore())

    assert keeper.journal == Journal()


async def test_what_was_written_is_what_is_read_next_time() -> None:
    store = MemorySecretStore()
    keeper = await open_keeper(store)

    await keeper.write(keeper.journal.with_grants("one"))
    await keeper.write(keeper.journal.with_grants("two"))

    assert (await open_keeper(store)).journal == keeper.journal == await stored(store)
    assert keeper.journal.grants_digest == "two"
    assert (keeper.journal.lease.term, keeper.journal.lease.beat) == (1, 2)


async def test_the_second_of_two_writers_is_refused_and_reads_what_the_first_wrote() -> None:
    store = MemorySecretStore()
    first, second = await open_keeper(store), await open_keeper(store, "metadata-2")
    await first.write(first.journal.with_grants("first"))

    with pytest.raises(StaleWriteError):
        await second.write(second.journal.with_grants("second"))

    assert (await stored(store)).grants_digest == "first"
    assert second.journal == first.journal

    await second.write(second.journal.with_grants("second"))
    assert (await stored(store)).lease.holder == "metadata-2"
    assert (await stored(store)).lease.term == 2


async def test_before_it_was_read_nothing_can_be_written() -> None:
    store = MemorySecretStore()
    keeper = JournalKeeper(store, "metadata-1")

    with pytest.raises(StaleWriteError):
        await keeper.write(Journal().with_grants("blind"))

    assert await store.fetch(JOURNAL_PATH) is None


async def test_a_write_that_failed_leaves_the_journal_as_it_was() -> None:
    store = MemorySecretStore(mishaps=Mishaps(2))
    keeper = await open_keeper(store)
    await keeper.write(keeper.journal.with_grants("one"))
    before = keeper.journal

    with pytest.raises(SecretStoreError):
        await keeper.write(keeper.journal.with_grants("two"))

    assert keeper.journal == before == await stored(store)


async def test_a_write_whose_answer_was_lost_is_noticed_at_the_next() -> None:
    store = MemorySecretStore(mishaps=Mishaps(1, is_after=True))
    keeper = await open_keeper(store)
    with pytest.raises(SecretStoreError):
        await keeper.write(keeper.journal.with_grants("one"))

    with pytest.raises(StaleWriteError):
        await keeper.write(keeper.journal.with_grants("other"))

    assert keeper.journal.grants_digest == "one"


async def test_a_journal_that_cannot_be_read_is_never_written_over() -> None:
    store = MemorySecretStore()
    store.put(JOURNAL_PATH, {"version": "?"})

    with pytest.raises(MalformedMessageError):
        await open_keeper(store)

    assert store.history == []
