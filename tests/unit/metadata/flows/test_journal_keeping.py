"""The journal has one writer at a time; who comes second is told, and reads again."""

import pytest

from services.metadata.domain import journal_codec
from services.metadata.domain.audit import Note
from services.metadata.domain.journal import Journal
from services.metadata.domain.lease import LeaseTimes
from services.metadata.flows.audit_keeping import AuditLog
from services.metadata.flows.journal_keeping import JournalKeeper
from svc_core.domain.subjects import JOURNAL_PATH
from svc_core.errors import MalformedMessageError, SecretStoreError, StaleWriteError
from tests.authority import make_author
from tests.builders import DEMO
from tests.fakes.clock import LoopClock
from tests.fakes.memory_secret_store import MemorySecretStore
from tests.fakes.mishaps import Mishaps

NOTE = Note("grants.changed", "a test")


def make_keeper(store: MemorySecretStore, holder: str = "metadata-1") -> JournalKeeper:
    """Return a keeper that has read nothing yet."""
    clock = LoopClock()
    audit = AuditLog(store, make_author(), clock)
    return JournalKeeper(store, holder, audit, clock, LeaseTimes.of(DEMO))


async def open_keeper(store: MemorySecretStore) -> JournalKeeper:
    """Return a keeper that has read the journal and holds the lease."""
    keeper = make_keeper(store)
    await keeper.load()
    assert await keeper.hold()
    return keeper


async def stored(store: MemorySecretStore) -> Journal:
    """Return the journal as it is stored."""
    found = await store.fetch(JOURNAL_PATH)
    assert found is not None
    return journal_codec.decode(found.data)


async def test_a_journal_that_was_never_written_is_empty() -> None:
    assert await make_keeper(MemorySecretStore()).load() == Journal()


async def test_what_was_written_is_what_is_read_next_time() -> None:
    store = MemorySecretStore()
    keeper = await open_keeper(store)

    await keeper.write(keeper.journal.with_grants("one"), NOTE)
    await keeper.write(keeper.journal.with_grants("two"), NOTE)

    assert await make_keeper(store).load() == keeper.journal == await stored(store)
    assert keeper.journal.grants_digest == "two"
    assert (keeper.journal.lease.term, keeper.journal.lease.beat) == (1, 3)


async def test_the_second_of_two_writers_is_refused_and_reads_what_the_first_wrote() -> None:
    store = MemorySecretStore()
    first = await open_keeper(store)
    # The same process twice: a restart whose predecessor has not quite ended.
    second = await open_keeper(store)

    with pytest.raises(StaleWriteError):
        await first.write(first.journal.with_grants("first"), NOTE)

    assert first.journal == second.journal == await stored(store)
    with pytest.raises(StaleWriteError, match="the journal is held by metadata-1"):
        await first.write(first.journal.with_grants("first"), NOTE)
    await second.write(second.journal.with_grants("second"), NOTE)
    assert (await stored(store)).grants_digest == "second"
    assert (await stored(store)).lease.term == 2


async def test_who_does_not_hold_the_lease_writes_nothing_and_notes_nothing() -> None:
    store = MemorySecretStore()
    keeper = make_keeper(store)
    await keeper.load()

    with pytest.raises(StaleWriteError, match="the journal is held by nobody"):
        await keeper.write(Journal().with_grants("unasked"), NOTE)

    assert store.history == []


async def test_what_is_done_is_written_down_before_and_journalled_after() -> None:
    store = MemorySecretStore()
    keeper = await open_keeper(store)
    before = len(store.history)
    seen: list[int] = []

    async def effect() -> None:
        seen.append(len(store.history) - before)

    await keeper.write(keeper.journal.with_grants("one"), NOTE, effect)

    assert seen == [1]
    assert [path for path, _ in store.history[before:]] == ["transport/audit/2", JOURNAL_PATH]
    assert keeper.journal.audit.number == keeper.journal.stated.number == 2


async def test_a_step_that_cannot_be_written_down_does_not_happen() -> None:
    store = MemorySecretStore()
    keeper = await open_keeper(store)
    before, done = keeper.journal, list[str]()
    store.mishaps = Mishaps(1)

    async def effect() -> None:
        done.append("removed")

    with pytest.raises(SecretStoreError):
        await keeper.write(keeper.journal.with_grants("one"), NOTE, effect)

    assert done == []
    assert keeper.journal == before == await stored(store)


async def test_a_write_that_failed_leaves_the_journal_as_it_was() -> None:
    store = MemorySecretStore()
    keeper = await open_keeper(store)
    await keeper.write(keeper.journal.with_grants("one"), NOTE)
    before = keeper.journal
    store.mishaps = Mishaps(2)

    with pytest.raises(SecretStoreError):
        await keeper.write(keeper.journal.with_grants("two"), NOTE)

    assert keeper.journal == before == await stored(store)


async def test_a_write_whose_answer_was_lost_is_noticed_at_the_next() -> None:
    store = MemorySecretStore()
    keeper = await open_keeper(store)
    store.mishaps = Mishaps(2, is_after=True)
    with pytest.raises(SecretStoreError):
        await keeper.write(keeper.journal.with_grants("one"), NOTE)

    with pytest.raises(StaleWriteError):
        await keeper.write(keeper.journal.with_grants("other"), NOTE)

    assert keeper.journal.grants_digest == "one"
    assert keeper.is_holder


async def test_a_journal_that_cannot_be_read_is_never_written_over() -> None:
    store = MemorySecretStore()
    store.put(JOURNAL_PATH, {"version": "?"})

    with pytest.raises(MalformedMessageError):
        await open_keeper(store)

    assert store.history == []
