"""The log is written first, by one after the other, signed now and then, and bounded."""

import asyncio
from dataclasses import dataclass, field

import pytest

from services.metadata.domain.audit import AuditPolicy, Note
from services.metadata.flows.audit_keeping import AuditDamagedError, AuditLog, entry_path
from svc_core.domain.audit import CHECKPOINT, NO_ENTRY, AuditHead
from svc_core.errors import AccessDeniedError, SecretStoreError, StaleWriteError
from svc_core.ports.secret_store import Document
from svc_core.wire.audit_chain import first_fault, read_link
from tests.fakes.memory_secret_store import MemorySecretStore
from tests.fakes.mishaps import Mishaps
from tests.unit.metadata.logbook import checking, stored_log
from tests.unit.metadata.world import World

NOTE = Note("keys.issued", "epoch 7", {"topics": "2"})
SMALL = AuditPolicy(every=4, kept=8)


def make_log(world: World, policy: AuditPolicy | None = None) -> AuditLog:
    log = AuditLog(world.store, world.author, world.clock, policy=policy or AuditPolicy())
    log.anchor(NO_ENTRY, limit=0)
    return log


async def kinds(world: World) -> list[str]:
    """Return the kind of every entry there is, oldest first."""
    stored = await stored_log(world)
    return [read_link(stored[number]).entry.kind for number in sorted(stored)]


async def assert_whole(world: World, head: AuditHead = NO_ENTRY) -> None:
    assert first_fault(await stored_log(world), head, checking(world)) is None


async def test_an_entry_says_what_when_and_by_whom() -> None:
    world = World()

    head = await make_log(world).append(NOTE, follows=0)

    link = read_link((await stored_log(world))[1])
    entry = link.entry
    assert (head.number, head.digest) == (1, link.digest)
    assert (entry.kind, entry.subject, entry.facts) == (NOTE.kind, NOTE.subject, NOTE.facts)
    assert (entry.at, entry.by, entry.follows) == (world.clock.now(), "metadata-1", 0)


async def test_entries_follow_each_other_whoever_writes_them() -> None:
    world = World()
    first, second = make_log(world), make_log(world)

    for log in (first, second, second, first, second):
        await log.append(NOTE)

    assert second.head.number == 5
    await assert_whole(world, second.head)


async def test_two_flows_of_one_process_write_one_after_the_other() -> None:
    world = World()
    log = make_log(world)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(log.append(NOTE))

    assert len(await stored_log(world)) == 20
    await assert_whole(world, log.head)


async def test_a_step_that_another_step_came_before_is_not_written() -> None:
    world = World()
    stale, other = make_log(world), make_log(world)
    await other.append(NOTE, follows=0)

    with pytest.raises(StaleWriteError, match="written by somebody else"):
        await stale.append(NOTE, follows=0)

    await stale.append(NOTE, follows=1)
    assert stale.head.number == 2


async def test_what_is_no_step_goes_behind_whatever_came_before() -> None:
    world = World()
    stale, other = make_log(world), make_log(world)
    await other.append(NOTE, follows=0)

    assert (await stale.append(NOTE)).number == 2


async def test_an_entry_that_cannot_be_written_is_an_error_and_leaves_no_hole() -> None:
    world = World()
    log = make_log(world)
    await log.append(NOTE)
    world.store.mishaps = Mishaps(1)

    with pytest.raises(SecretStoreError):
        await log.append(NOTE)

    assert (await log.append(NOTE)).number == 2
    await assert_whole(world, log.head)


async def test_an_entry_whose_answer_was_lost_stays() -> None:
    world = World()
    log = make_log(world)
    world.store.mishaps = Mishaps(1, is_after=True)
    with pytest.raises(SecretStoreError):
        await log.append(NOTE)

    assert (await log.append(NOTE)).number == 2
    await assert_whole(world, log.head)


@dataclass
class CreateOnlyStore(MemorySecretStore):
    """Says 403 where an entry is, as OpenBao does to who may create and not update."""

    denied: set[str] = field(default_factory=set)

    async def store(self, path: str, data: Document, *, expected_version: int | None) -> int:
        """Store, unless there is something already."""
        if path in self.denied or await self.fetch(path) is not None:
            raise AccessDeniedError(f"{path} may only be created")
        return await super().store(path, data, expected_version=expected_version)


async def test_whoever_may_only_create_finds_out_who_was_first() -> None:
    world = World()
    world.store = CreateOnlyStore()
    await make_log(world).append(NOTE)

    assert (await make_log(world).append(NOTE)).number == 2


async def test_a_place_that_can_be_neither_written_nor_read_stops_everything() -> None:
    world = World()
    world.store = CreateOnlyStore(denied={entry_path(1)})

    with pytest.raises(AuditDamagedError, match="neither written nor read"):
        await make_log(world).append(NOTE)


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param({"entry": "?"}, id="no entry"),
        pytest.param("another number", id="an entry from elsewhere"),
        pytest.param("another chain", id="an entry of another chain"),
        pytest.param("another digest", id="an entry that was changed"),
    ],
)
async def test_nothing_is_written_behind_what_does_not_belong_there(junk: object) -> None:
    world, other = World(), World()
    log, elsewhere = make_log(world), make_log(other)
    await log.append(NOTE)
    await elsewhere.append(Note("another", "chain"))
    await elsewhere.append(NOTE)
    theirs = await stored_log(other)
    choices = {
        "another number": dict((await stored_log(world))[1]),
        "another chain": dict(theirs[2]),
        "another digest": {
            **theirs[2],
            "previous": log.head.digest.hex(),
        },
    }
    world.store.put(entry_path(2), choices[junk] if isinstance(junk, str) else junk)  # type: ignore[arg-type]

    with pytest.raises(AuditDamagedError, match="audit entry 2"):
        await log.append(NOTE)
    with pytest.raises(AuditDamagedError, match="audit entry 2"):
        await log.catch_up()

    assert log.head.number == 1


async def test_a_process_goes_on_where_the_journal_says_and_reads_the_rest() -> None:
    world = World()
    first = make_log(world)
    for _ in range(5):
        await first.append(NOTE)
    after_restart = make_log(world)
    third = read_link((await stored_log(world))[3])
    after_restart.anchor(AuditHead(3, third.digest), limit=3)

    await after_restart.catch_up()

    assert after_restart.head == first.head
    after_restart.anchor(AuditHead(3, third.digest), limit=3)
    assert after_restart.head == first.head


async def test_nothing_is_written_before_it_is_known_where_the_log_goes_on() -> None:
    world = World()
    log = AuditLog(world.store, world.author, world.clock)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await log.append(NOTE)

    assert await stored_log(world) == {}


# --- signatures and cuts -------------------------------------------------------------------------


async def test_a_checkpoint_comes_after_so_many_entries() -> None:
    world = World()
    log = make_log(world, SMALL)

    for _ in range(9):
        await log.append(NOTE)

    made = await kinds(world)
    assert [n for n, kind in enumerate(made, 1) if kind == CHECKPOINT] == [5, 10]
    await assert_whole(world, log.head)


async def test_a_checkpoint_that_failed_is_made_good_before_the_next_entry() -> None:
    world = World()
    log = make_log(world)
    await log.append(NOTE)
    world.store.mishaps = Mishaps(1)
    with pytest.raises(SecretStoreError):
        await log.sign()

    await log.append(NOTE)

    assert await kinds(world) == [NOTE.kind, CHECKPOINT, NOTE.kind]


async def test_an_entry_that_came_between_is_signed_too() -> None:
    world = World()
    log, other = make_log(world), make_log(world)
    await log.append(NOTE)
    await other.append(NOTE)

    await log.sign()

    assert await kinds(world) == [NOTE.kind, NOTE.kind, CHECKPOINT]
    await assert_whole(world, log.head)


async def test_what_need_not_be_kept_is_cut_off_and_the_rest_still_verifies() -> None:
    world = World()
    log = make_log(world, SMALL)

    for _ in range(60):
        head = await log.append(NOTE)
        log.anchor(head, limit=head.number)

    stored = await stored_log(world)
    assert SMALL.kept <= len(stored) <= SMALL.kept + 2 * (SMALL.every + 1)
    assert sorted(stored) == list(range(min(stored), log.head.number + 1))
    await assert_whole(world, log.head)


async def test_what_the_desired_state_names_is_never_cut_off() -> None:
    world = World()
    log = make_log(world, SMALL)
    for _ in range(30):
        head = await log.append(NOTE)
        log.anchor(head, limit=7)

    assert min(await stored_log(world)) <= 7


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("effect", range(1, 8))
async def test_a_crash_at_any_effect_of_a_cut_leaves_a_log_that_verifies(
    effect: int, *, is_after: bool
) -> None:
    world = World()
    log = make_log(world, AuditPolicy(every=4, kept=100))
    for _ in range(16):
        head = await log.append(NOTE)
    world.store.mishaps = Mishaps(effect, is_after=is_after)

    again = make_log(world, SMALL)
    again.anchor(head, limit=head.number)
    await again.catch_up()
    try:
        await again.sign()
    except SecretStoreError:
        await assert_whole(world, head)
        await again.sign()

    await assert_whole(world, again.head)


def test_a_policy_keeps_at_least_what_one_signature_covers() -> None:
    with pytest.raises(ValueError, match="a checkpoint every 9 of 8"):
        AuditPolicy(every=9, kept=8)
