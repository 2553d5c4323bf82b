"""Documents in parts are there whole or not at all, whoever dies or races while writing them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from itertools import count

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from svc_core.errors import MalformedMessageError, SecretStoreError, StaleWriteError
from svc_core.flows.parted_documents import DocumentTooLargeError, PartedDocuments
from svc_core.ports.secret_store import Document, Versioned
from svc_core.wire.document_heads import MAX_SIZE, PART_SIZE
from tests.fakes.memory_secret_store import MemorySecretStore
from tests.fakes.mishaps import Mishaps

PATH = "bundles/gatekeeper/g1"


@cache
def text(name: str, size: int) -> bytes:
    """Return ``size`` bytes of which no part is like another, or like one of another name."""
    lines = (f"{name} {line}\n".encode().ljust(1024) for line in range(-(-size // 1024)))
    return b"".join(lines)[:size]


OLD = text("old", 2 * PART_SIZE)
NEW = text("new", PART_SIZE + 4)
SMALL = b"small"
ENTRY_LIMIT = 1 << 20
"""Of OpenBao with raft storage, for one entry with everything around it."""


class KilledError(Exception):
    """What a process that is killed sees: nothing it could act upon."""


async def stored(store: MemorySecretStore, payload: bytes, *, version: int = 0) -> int:
    return await PartedDocuments(store).store(PATH, payload, expected_version=version)


async def payload_in(store: MemorySecretStore) -> bytes | None:
    found = await PartedDocuments(store).fetch(PATH)
    return None if found is None else found[0]


async def parts_in(store: MemorySecretStore) -> tuple[str, ...]:
    return await store.fetch_names(f"{PATH}.parts")


def parts_of(payload: bytes) -> int:
    return -(-len(payload) // PART_SIZE) if len(payload) > PART_SIZE else 0


@settings(max_examples=25)
@given(
    sizes=st.lists(
        st.integers(0, 200)
        | st.integers(PART_SIZE - 2, PART_SIZE + 2)
        | st.integers(0, 4 * PART_SIZE),
        min_size=1,
        max_size=3,
    ),
    piece=st.binary(min_size=1, max_size=5),
)
async def test_what_is_stored_comes_back(sizes: list[int], piece: bytes) -> None:
    store = MemorySecretStore()
    documents = PartedDocuments(store)
    payload = b""

    for number, size in enumerate(sizes):
        payload = (piece * (size // len(piece) + 1))[:size]
        assert await documents.store(PATH, payload, expected_version=number) == number + 1
        assert await documents.fetch(PATH) == (payload, number + 1)

    # A part that occurs twice is kept once.
    assert len(await parts_in(store)) <= parts_of(payload)
    assert all(len(msgspec.json.encode(data)) < ENTRY_LIMIT for _, data in store.history)


async def test_nothing_is_none() -> None:
    assert await payload_in(MemorySecretStore()) is None


async def test_what_fits_costs_one_entry() -> None:
    store = MemorySecretStore()

    await stored(store, SMALL)

    assert [path for path, _ in store.history] == [PATH]


@pytest.mark.parametrize("after", [NEW, SMALL], ids=["by parts", "by what fits"])
async def test_what_was_replaced_is_destroyed(after: bytes) -> None:
    store = MemorySecretStore()
    await stored(store, OLD)
    former = await parts_in(store)

    await stored(store, after, version=1)

    assert len(former) == parts_of(OLD) > 0
    assert not set(await parts_in(store)) & set(former)
    assert len(await parts_in(store)) == parts_of(after)


async def test_a_document_that_returns_to_what_it_was_is_whole() -> None:
    store = MemorySecretStore()
    for version, payload in enumerate([OLD, NEW, OLD]):
        await stored(store, payload, version=version)

    assert await payload_in(store) == OLD


@pytest.mark.parametrize("payload", [NEW, SMALL], ids=["in parts", "whole"])
@pytest.mark.parametrize("expected", [0, 2], ids=["create only", "ahead"])
async def test_a_stale_write_is_refused_and_changes_nothing(payload: bytes, expected: int) -> None:
    store = MemorySecretStore()
    await stored(store, OLD)

    with pytest.raises(StaleWriteError):
        await stored(store, payload, version=expected)

    assert await PartedDocuments(store).fetch(PATH) == (OLD, 1)


async def test_what_a_stale_writer_left_is_destroyed_by_the_next() -> None:
    store = MemorySecretStore()
    await stored(store, OLD)
    with pytest.raises(StaleWriteError):
        await stored(store, NEW)
    assert len(await parts_in(store)) > parts_of(OLD)

    await stored(store, NEW, version=1)

    assert len(await parts_in(store)) == parts_of(NEW)


def cuts(effects: int) -> pytest.MarkDecorator:
    """Give every effect as the one that fails, before or after it has happened."""
    every = [(number, is_after) for number in range(1, effects + 1) for is_after in (False, True)]
    ids = [f"{'after' if is_after else 'before'} effect {number}" for number, is_after in every]
    return pytest.mark.parametrize(("at", "is_after"), every, ids=ids)


async def cut(store: MemorySecretStore, mishap: Mishaps, act: Awaitable[object]) -> None:
    """Kill ``act`` as ``mishap`` says; it must reach that effect."""
    store.mishaps.at, store.mishaps.is_after = store.mishaps.count + mishap.at, mishap.is_after
    store.mishaps.error = KilledError
    with pytest.raises(KilledError):
        await act


@pytest.mark.parametrize("old", [None, OLD, SMALL], ids=["first", "over parts", "over what fits"])
@cuts(effects=4)
async def test_a_writer_that_dies_leaves_the_old_or_the_new(
    old: bytes | None, at: int, *, is_after: bool
) -> None:
    store = MemorySecretStore()
    version = 0 if old is None else await stored(store, old)
    # Two parts, the head, and one part to be destroyed where there is a former one.
    payload = NEW + OLD if at == 4 and old is not OLD else NEW
    await cut(store, Mishaps(at, is_after=is_after), stored(store, payload, version=version))

    found = await PartedDocuments(store).fetch(PATH)
    is_new = (at, is_after) >= (parts_of(payload) + 1, True)
    assert (found and found[0]) == (payload if is_new else old)

    after = await stored(store, payload, version=found[1] if found else 0)
    assert await PartedDocuments(store).fetch(PATH) == (payload, after)
    assert len(await parts_in(store)) == parts_of(payload)


@pytest.mark.parametrize("error", [SecretStoreError, KilledError])
async def test_what_cannot_be_destroyed_now_goes_with_the_next_write(
    error: type[Exception],
) -> None:
    store = MemorySecretStore()
    await stored(store, OLD)
    store.mishaps.at, store.mishaps.error = store.mishaps.count + 2, error

    if error is KilledError:
        with pytest.raises(KilledError):
            await stored(store, SMALL, version=1)
    else:
        assert await stored(store, SMALL, version=1) == 2
    assert await payload_in(store) == SMALL
    assert await parts_in(store)

    await stored(store, b"", version=2)
    assert await parts_in(store) == ()


@cuts(effects=1 + parts_of(OLD))
async def test_a_removal_that_dies_leaves_the_document_or_nothing(
    at: int, *, is_after: bool
) -> None:
    store = MemorySecretStore()
    documents = PartedDocuments(store)
    await stored(store, OLD)
    await cut(store, Mishaps(at, is_after=is_after), documents.remove(PATH))

    assert await payload_in(store) == (OLD if (at, is_after) == (1, False) else None)
    is_all_gone = (at, is_after) == (1 + parts_of(OLD), True)
    assert await documents.fetch_names("bundles/gatekeeper") == (() if is_all_gone else ("g1",))

    await documents.remove(PATH)
    assert await store.fetch_names("bundles") == ()


@cuts(effects=1 + parts_of(OLD))
async def test_after_a_removal_that_died_a_new_document_can_be_made(
    at: int, *, is_after: bool
) -> None:
    store = MemorySecretStore()
    await stored(store, OLD)
    await cut(store, Mishaps(at, is_after=is_after), PartedDocuments(store).remove(PATH))
    version = 1 if (at, is_after) == (1, False) else 0

    await stored(store, NEW, version=version)

    assert await payload_in(store) == NEW
    assert len(await parts_in(store)) == parts_of(NEW)


async def test_parts_without_a_head_are_named_and_can_be_removed() -> None:
    store = MemorySecretStore()
    documents = PartedDocuments(store)
    await cut(store, Mishaps(3), stored(store, NEW))

    assert await documents.fetch_names("bundles/gatekeeper") == ("g1",)
    await documents.remove(PATH)
    assert await documents.fetch_names("bundles/gatekeeper") == ()


async def test_names_are_those_of_documents_and_folders() -> None:
    store = MemorySecretStore()
    documents = PartedDocuments(store)
    await documents.store("keys/1", OLD, expected_version=0)
    await documents.store("keys/2", SMALL, expected_version=0)
    await documents.store("keys/more/3", SMALL, expected_version=0)

    assert await documents.fetch_names("keys") == ("1", "2", "more/")


# --- readers -----------------------------------------------------------------------------------


async def test_a_reader_whose_parts_vanish_reads_what_took_their_place() -> None:
    store = MemorySecretStore()
    await stored(store, OLD)
    outdated = store._entries[PATH]

    await stored(store, NEW, version=1)

    assert await PartedDocuments(OnceOutdated(store, outdated)).fetch(PATH) == (NEW, 2)


async def test_a_reader_whose_document_is_removed_meanwhile_finds_none() -> None:
    store = MemorySecretStore()
    await stored(store, OLD)
    outdated = store._entries[PATH]

    await PartedDocuments(store).remove(PATH)

    assert await PartedDocuments(OnceOutdated(store, outdated)).fetch(PATH) is None


async def test_a_reader_who_is_always_too_late_gives_up() -> None:
    store = MemorySecretStore()
    await stored(store, OLD)
    vanished, numbers = store._entries[PATH], count(2)
    await PartedDocuments(store).remove(PATH)

    class AlwaysOutdated(MemorySecretStore):
        async def fetch(self, path: str) -> Versioned | None:
            return Versioned(vanished.data, next(numbers)) if path == PATH else None

    with pytest.raises(SecretStoreError):
        await PartedDocuments(AlwaysOutdated()).fetch(PATH)


class OnceOutdated:
    """A store that shows one former head first, as a slow reader saw it."""

    def __init__(self, store: MemorySecretStore, head: Versioned) -> None:
        self._inner = store
        self._heads = [head]

    async def fetch(self, path: str) -> Versioned | None:
        if path == PATH and self._heads:
            return self._heads.pop()
        return await self._inner.fetch(path)

    async def store(self, path: str, data: Document, *, expected_version: int | None) -> int:
        return await self._inner.store(path, data, expected_version=expected_version)

    async def fetch_names(self, path: str) -> tuple[str, ...]:
        return await self._inner.fetch_names(path)

    async def remove(self, path: str) -> None:
        await self._inner.remove(path)


def without_a_part(entries: dict[str, Document]) -> None:
    del entries[min(p for p in entries if p != PATH)]


def with_another_part(entries: dict[str, Document]) -> None:
    entries[min(p for p in entries if p != PATH)] = {"part": ""}


def with_a_part_changed(entries: dict[str, Document]) -> None:
    path = min(p for p in entries if p != PATH)
    entries[path] = {"part": "AAAA" + str(entries[path]["part"])[4:]}


def with_parts_swapped(entries: dict[str, Document]) -> None:
    parts = entries[PATH]["parts"]
    assert isinstance(parts, list)
    entries[PATH] = {**entries[PATH], "parts": parts[::-1]}


def with_another_digest(entries: dict[str, Document]) -> None:
    entries[PATH] = {**entries[PATH], "sha256": "00" * 32}


def with_another_size(entries: dict[str, Document]) -> None:
    entries[PATH] = {**entries[PATH], "size": len(NEW) - 1}


@pytest.mark.parametrize(
    "spoil",
    [
        without_a_part,
        with_another_part,
        with_a_part_changed,
        with_parts_swapped,
        with_another_digest,
        with_another_size,
    ],
)
async def test_what_was_tampered_with_is_refused(
    spoil: Callable[[dict[str, Document]], None],
) -> None:
    store, spoilt = MemorySecretStore(), MemorySecretStore()
    await stored(store, NEW)
    entries: dict[str, Document] = {path: entry.data for path, entry in store._entries.items()}
    spoil(entries)
    for path, data in entries.items():
        spoilt.put(path, data)

    with pytest.raises(MalformedMessageError):
        await payload_in(spoilt)


async def test_what_is_no_document_is_refused() -> None:
    store = MemorySecretStore()
    store.put(PATH, {"wrapped": "from before"})

    with pytest.raises(MalformedMessageError):
        await payload_in(store)


async def test_an_entry_from_before_is_read_by_who_knows_how() -> None:
    store = MemorySecretStore()
    store.put(PATH, {"wrapped": "from before"})
    documents = PartedDocuments(
        store, former=lambda d: str(d["wrapped"]).encode() if "wrapped" in d else None
    )

    assert await documents.fetch(PATH) == (b"from before", 1)
    assert await documents.store(PATH, NEW, expected_version=1) == 2
    assert await documents.fetch(PATH) == (NEW, 2)


async def test_too_much_is_refused_before_anything_is_written() -> None:
    store = MemorySecretStore()

    with pytest.raises(DocumentTooLargeError):
        await stored(store, bytes(MAX_SIZE + 1))

    assert store.history == []


# --- races -------------------------------------------------------------------------------------


class DawdlingStore(MemorySecretStore):
    """Waits before each call as a schedule says, so that callers meet in every order."""

    def __init__(self, waits: list[int]) -> None:
        super().__init__()
        self._waits, self._next = waits, count()

    async def _dawdle(self) -> None:
        for _ in range(self._waits[next(self._next) % len(self._waits)]):
            await asyncio.sleep(0)

    async def fetch(self, path: str) -> Versioned | None:
        await self._dawdle()
        return await super().fetch(path)

    async def store(self, path: str, data: Document, *, expected_version: int | None) -> int:
        await self._dawdle()
        return await super().store(path, data, expected_version=expected_version)

    async def fetch_names(self, path: str) -> tuple[str, ...]:
        await self._dawdle()
        return await super().fetch_names(path)

    async def remove(self, path: str) -> None:
        await self._dawdle()
        await super().remove(path)


AS_FOUND = (Phase.explicit, Phase.generate)
"""A schedule is as good an example as a shorter one, which would take a minute to find."""
waits = st.lists(st.integers(0, 9), min_size=7, max_size=40)


@pytest.mark.timeout(60)
@settings(max_examples=25, phases=AS_FOUND)
@given(waits=waits)
async def test_of_many_writers_one_wins_and_every_reader_reads_one(waits: list[int]) -> None:
    store = DawdlingStore(waits)
    documents, written = PartedDocuments(store), set[bytes]()

    async def write(name: str) -> int:
        stored = 0
        for number in range(4):
            payload = text(f"{name}{number}", PART_SIZE + 1)
            written.add(payload)
            # A reader may be too late again and again, and says so.
            with suppress(StaleWriteError, SecretStoreError):
                found = await documents.fetch(PATH)
                assert found is None or found[0] in written
                await documents.store(PATH, payload, expected_version=found[1] if found else 0)
                stored += 1
        return stored

    async with asyncio.TaskGroup() as group:
        writers = [group.create_task(write(name)) for name in "abc"]

    found = await documents.fetch(PATH)
    assert found is not None
    assert (found[0] in written, found[1]) == (True, sum(w.result() for w in writers))
    await documents.store(PATH, NEW, expected_version=found[1])
    assert len(await parts_in(store)) == parts_of(NEW)


@pytest.mark.timeout(60)
@settings(max_examples=25, phases=AS_FOUND)
@given(waits=waits)
async def test_a_removal_in_a_race_leaves_no_mix_and_nothing_that_cannot_be_removed(
    waits: list[int],
) -> None:
    store = DawdlingStore(waits)
    documents, written = PartedDocuments(store), set[bytes]()

    async def write(name: str) -> None:
        for number in range(3):
            payload = text(f"{name}{number}", PART_SIZE + 1)
            written.add(payload)
            with suppress(StaleWriteError, SecretStoreError, MalformedMessageError):
                found = await documents.fetch(PATH)
                assert found is None or found[0] in written
                await documents.store(PATH, payload, expected_version=found[1] if found else 0)

    async def remove() -> None:
        for _ in range(3):
            await documents.remove(PATH)

    async with asyncio.TaskGroup() as group:
        for task in (write("a"), write("b"), remove()):
            group.create_task(task)

    await documents.remove(PATH)
    await documents.store(PATH, NEW, expected_version=0)
    assert await payload_in(store) == NEW
    assert len(await parts_in(store)) == parts_of(NEW)
