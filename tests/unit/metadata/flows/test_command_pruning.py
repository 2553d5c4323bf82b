"""Commands and their results go two hours after they ended, and nothing else goes."""

import asyncio

import pytest
from structlog.testing import capture_logs

from services.metadata.flows.command_pruning import KEPT, MOST_PER_ROUND, CommandPruner
from svc_core.domain.operator_command import (
    COMMANDS_PATH,
    LONGEST_LIFE,
    RESULTS_PATH,
    CommandExpiredError,
    CommandState,
)
from svc_core.errors import SecretStoreError
from tests.fakes.memory_secret_store import MemorySecretStore
from tests.unit.metadata.flows.test_commands import Desk, unsigned
from tests.unit.metadata.world import run_for

HOUR = 3600.0
KEPT_S = KEPT.total_seconds()


class Archive(Desk):
    """A desk whose replicas prune, too."""

    @property
    def store(self) -> MemorySecretStore:
        """Where everything is."""
        return self.world.store

    def pruner(self, instance: str = "metadata-1") -> CommandPruner:
        """Return the loop of one replica."""
        return CommandPruner(self.world.store, lambda: self.holder == instance, self.world.around)

    async def kept(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names of the commands and of the results there are."""
        return (
            await self.store.fetch_names(COMMANDS_PATH),
            await self.store.fetch_names(RESULTS_PATH),
        )


@pytest.fixture
async def archive() -> Archive:
    return Archive()


async def test_a_command_and_its_result_go_two_hours_after_it_was_done(archive: Archive) -> None:
    await archive.leave(archive.command())
    await run_for(1, archive.follower())

    await run_for(KEPT_S - 60, archive.pruner())
    before = await archive.kept()
    with capture_logs() as events:
        await run_for(180, archive.pruner())
        await run_for(1, archive.follower())

    assert before == (("c-1",), ("c-1",))
    assert await archive.kept() == ((), ())
    assert archive.done == ["c-1"]
    (event,) = [e for e in events if e["event"] == "commands.pruned"]
    assert (event["count"], event["left"]) == (1, 0)


async def test_a_refused_command_goes_too(archive: Archive) -> None:
    await unsigned(archive)
    await run_for(1, archive.follower())

    await run_for(KEPT_S + 120, archive.pruner())

    assert await archive.kept() == ((), ())


async def test_a_copy_of_what_was_removed_is_too_old_to_be_begun(archive: Archive) -> None:
    command = archive.command(life=LONGEST_LIFE)
    await archive.leave(command)
    await run_for(1, archive.follower())
    await run_for(KEPT_S + 120, archive.pruner())
    assert await archive.kept() == ((), ())

    await archive.leave(command)
    await run_for(5, archive.follower())

    result = await archive.result()
    assert result is not None
    assert (result.state, result.code) == (CommandState.REFUSED, CommandExpiredError.code)
    assert archive.done == ["c-1"]


async def test_what_nobody_has_taken_or_ended_stays(archive: Archive) -> None:
    archive.failure = SecretStoreError("OpenBao is away")
    await archive.leave(archive.command("begun"))
    await run_for(1, archive.follower())
    await archive.leave(archive.command("left"))

    await run_for(5 * HOUR, archive.pruner())

    assert await archive.kept() == (("begun", "left"), ("begun",))


async def test_only_the_holder_removes(archive: Archive) -> None:
    await archive.leave(archive.command())
    await run_for(1, archive.follower())

    await run_for(KEPT_S + 120, archive.pruner("metadata-2"))
    before = await archive.kept()
    archive.holder = "metadata-2"
    await run_for(120, archive.pruner("metadata-2"))

    assert before == (("c-1",), ("c-1",))
    assert await archive.kept() == ((), ())


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("is_after", [False, True], ids=["not done", "answer lost"])
async def test_what_was_removed_in_part_is_removed_whole_later(
    archive: Archive, at: int, is_after: bool
) -> None:
    await archive.leave(archive.command())
    await run_for(1, archive.follower())
    mishaps = archive.store.mishaps
    mishaps.at, mishaps.is_after = mishaps.count + at, is_after

    await run_for(KEPT_S + 180, archive.pruner())
    await run_for(5, archive.follower())

    assert mishaps.count >= mishaps.at
    assert await archive.kept() == ((), ())
    assert archive.done == ["c-1"]


@pytest.mark.parametrize("data", [{"state": "odd"}, {}], ids=["another shape", "empty"])
async def test_a_result_of_nothing_that_cannot_be_read_goes_at_once(
    archive: Archive, data: dict[str, object]
) -> None:
    archive.store.put(f"{RESULTS_PATH}/c-0", data)

    await run_for(1, archive.pruner())

    assert await archive.kept() == ((), ())


async def test_a_round_is_bounded_and_the_oldest_go_first(archive: Archive) -> None:
    names = [f"c-{n:03}" for n in range(MOST_PER_ROUND + 5)]
    for name in names:
        await archive.leave(archive.command(name))
    await run_for(30, archive.follower())
    await asyncio.sleep(KEPT_S)
    read = len(archive.store.fetched)

    removed = await archive.pruner().prune()
    left = await archive.kept()

    assert removed == MOST_PER_ROUND
    assert len(archive.store.fetched) - read == MOST_PER_ROUND
    assert left == (tuple(names[MOST_PER_ROUND:]),) * 2
    assert await archive.pruner().prune() == 5


async def test_what_is_not_due_is_read_once_and_hides_nothing_behind_it(
    archive: Archive,
) -> None:
    for n in range(MOST_PER_ROUND):
        await archive.leave(archive.command(f"c-{n:03}"))
    await run_for(30, archive.follower())
    pruner = archive.pruner()
    await pruner.prune()
    read = len(archive.store.fetched)
    archive.store.put(f"{RESULTS_PATH}/z", {})

    assert await pruner.prune() == 1
    assert len(archive.store.fetched) - read == 1
