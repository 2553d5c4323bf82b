"""An operator's command is carried out once, by one replica; others are refused and said so."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from services.metadata.flows.commands import CommandFollower, Outcome, Progress
from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm
from svc_core.domain.operator_command import (
    COMMANDS_PATH,
    OPERATOR_SIGNER,
    RESULTS_PATH,
    CommandExpiredError,
    CommandFutureError,
    CommandRefusedError,
    CommandReplayedError,
    CommandResult,
    CommandState,
    CommandUnknownError,
    CommandUnsignedError,
    OperatorCommand,
)
from svc_core.errors import MalformedMessageError, SecretStoreError, SvcError
from svc_core.flows.statements import Author, Statements
from svc_core.wire import documents, operator_command
from svc_core.wire.identities import PublicIdentity
from tests.authority import make_author
from tests.builders import DEMO
from tests.unit.metadata.world import World, run_for

MINUTE = timedelta(minutes=1)
OPERATOR = make_author(OPERATOR_SIGNER)
HELLO = "hello"


@dataclass
class Desk:
    """Where commands are left, and what was done about them."""

    world: World = field(default_factory=World)
    done: list[str] = field(default_factory=list)
    failure: SvcError | None = None
    takes_s: float = 0.0
    holder: str = "metadata-1"
    """Who holds the lease."""

    def follower(self, instance: str = "metadata-1") -> CommandFollower:
        """Return the loop of one replica, which knows one kind of command."""
        pinned = PublicIdentity(OPERATOR_SIGNER, Algorithm.ML_DSA_87, OPERATOR.public)
        return CommandFollower(
            self.world.store,
            Statements([pinned]),
            {HELLO: self._greet},
            instance,
            lambda: self.holder == instance,
            self.world.around,
        )

    def command(
        self,
        name: str = "c-1",
        *,
        kind: str = HELLO,
        issued: timedelta = timedelta(0),
        life: timedelta = MINUTE,
    ) -> OperatorCommand:
        """Return a command as of now, or with a fault."""
        at = self.world.clock.now() + issued
        return OperatorCommand(name, kind, {"to": "world"}, at, at + life)

    async def leave(
        self,
        command: OperatorCommand,
        *,
        name: str = "",
        author: Author = OPERATOR,
        context: bytes = contexts.OPERATOR_COMMAND,
    ) -> None:
        """Leave ``command``, under another name or by another author if told."""
        document = await author.sign(operator_command.encode(command), context=context)
        entry = documents.encode_entry(document)
        self.world.store.put(f"{COMMANDS_PATH}/{name or command.id}", entry)

    async def result(self, name: str = "c-1") -> CommandResult | None:
        """Return what became of a command."""
        found = await self.world.store.fetch(f"{RESULTS_PATH}/{name}")
        return None if found is None else operator_command.decode_result(found.data)

    async def _greet(self, command: OperatorCommand, progress: Progress) -> Outcome:
        await progress({"greeting": "begun"})
        await asyncio.sleep(self.takes_s)
        if self.failure is not None:
            raise self.failure
        self.done.append(command.id)
        return {"greeting": command.arguments["to"]}


async def test_a_command_is_carried_out_once_and_its_outcome_written_down() -> None:
    desk = Desk()
    await desk.leave(desk.command())

    await run_for(10, desk.follower())

    assert desk.done == ["c-1"]
    result = await desk.result()
    assert result is not None
    assert (result.state, result.by) == (CommandState.DONE, "metadata-1")
    assert result.outcome == {"greeting": "world"}


async def test_a_restart_and_a_second_replica_do_not_repeat_it() -> None:
    desk = Desk(takes_s=1)
    await desk.leave(desk.command())

    await run_for(5, desk.follower("metadata-1"), desk.follower("metadata-2"))
    desk.holder = "metadata-3"
    await run_for(60, desk.follower("metadata-3"))

    assert desk.done == ["c-1"]


async def test_who_stands_by_leaves_a_command_to_the_holder() -> None:
    desk = Desk(holder="metadata-2")
    await desk.leave(desk.command())

    await run_for(10, desk.follower("metadata-1"))
    untouched = await desk.result()
    await run_for(1, desk.follower("metadata-1"), desk.follower("metadata-2"))

    assert untouched is None
    result = await desk.result()
    assert result is not None
    assert (result.state, result.by) == (CommandState.DONE, "metadata-2")


async def test_who_loses_the_lease_between_two_commands_leaves_the_second() -> None:
    desk = Desk(takes_s=1)
    for name in ("c-1", "c-2"):
        await desk.leave(desk.command(name))
    asyncio.get_running_loop().call_later(0.5, setattr, desk, "holder", "metadata-2")

    await run_for(10, desk.follower("metadata-1"))

    assert desk.done == ["c-1"]
    assert await desk.result("c-2") is None


async def test_commands_are_carried_out_in_the_order_of_their_names_within_a_second() -> None:
    desk = Desk()
    follower = desk.follower()

    async def leave_two() -> None:
        await asyncio.sleep(0.3)
        for name in ("b", "a"):
            await desk.leave(desk.command(name))

    async with asyncio.TaskGroup() as group:
        group.create_task(leave_two())
        await run_for(1.0, follower)

    assert desk.done == ["a", "b"]


async def test_what_was_begun_is_taken_up_after_a_crash_even_past_its_time() -> None:
    desk = Desk(failure=SecretStoreError("OpenBao is away"))
    await desk.leave(desk.command())
    await run_for(1, desk.follower())
    result = await desk.result()
    assert result is not None
    assert (result.state, result.outcome) == (CommandState.BEGUN, {"greeting": "begun"})

    desk.failure = None
    await asyncio.sleep(2 * MINUTE.total_seconds())
    await run_for(1, desk.follower())

    assert desk.done == ["c-1"]


async def test_who_takes_the_lease_takes_up_at_once_what_the_former_holder_had_begun() -> None:
    desk = Desk(failure=SecretStoreError("OpenBao is away"))
    await desk.leave(desk.command())
    await run_for(0.1, desk.follower("metadata-1"))
    desk.failure, desk.holder = None, "metadata-2"

    await run_for(1, desk.follower("metadata-1"), desk.follower("metadata-2"))

    result = await desk.result()
    assert result is not None
    assert (result.state, result.by, desk.done) == (CommandState.DONE, "metadata-2", ["c-1"])


async def test_who_was_frozen_in_the_middle_of_a_command_writes_nothing_over_its_result() -> None:
    desk = Desk(takes_s=5)
    await desk.leave(desk.command())
    asyncio.get_running_loop().call_later(1, setattr, desk, "holder", "metadata-2")
    asyncio.get_running_loop().call_later(1, setattr, desk, "takes_s", 0)

    await run_for(20, desk.follower("metadata-1"), desk.follower("metadata-2"))

    result = await desk.result()
    assert result is not None
    assert (result.state, result.by) == (CommandState.DONE, "metadata-2")


# --- what is refused ----------------------------------------------------------------------------

Left = Callable[[Desk], Awaitable[None]]


async def expired(desk: Desk) -> None:
    await desk.leave(desk.command(issued=-MINUTE))


async def good_for_ever(desk: Desk) -> None:
    await desk.leave(desk.command(life=timedelta(days=1)))


async def from_the_future(desk: Desk) -> None:
    await desk.leave(desk.command(issued=DEMO.skew + timedelta(seconds=1)))


async def copied(desk: Desk) -> None:
    await desk.leave(desk.command("original"))
    await desk.leave(desk.command("original"), name="c-1")


async def by_metadata_itself(desk: Desk) -> None:
    await desk.leave(desk.command(), author=desk.world.author)


async def under_a_stolen_name(desk: Desk) -> None:
    thief = make_author("mallory")
    thief.id = OPERATOR_SIGNER
    await desk.leave(desk.command(), author=thief)


async def signed_as_something_else(desk: Desk) -> None:
    await desk.leave(desk.command(), context=contexts.IDENTITY_LIST)


async def unsigned(desk: Desk) -> None:
    desk.world.store.put(f"{COMMANDS_PATH}/c-1", {"kind": HELLO})


async def changed_after_signing(desk: Desk) -> None:
    await desk.leave(desk.command())
    path = f"{COMMANDS_PATH}/c-1"
    found = await desk.world.store.fetch(path)
    assert found is not None
    document = documents.decode_entry(found.data)
    body = document.body.replace(b"world", b"mars!")
    entry = documents.encode_entry(
        documents.SignedDocument(body, document.signer, document.signature)
    )
    desk.world.store.put(path, entry)


async def of_no_known_kind(desk: Desk) -> None:
    await desk.leave(desk.command(kind="dance"))


async def that_is_no_command(desk: Desk) -> None:
    document = await OPERATOR.sign(b"{}", context=contexts.OPERATOR_COMMAND)
    desk.world.store.put(f"{COMMANDS_PATH}/c-1", documents.encode_entry(document))


async def that_must_not_be(desk: Desk) -> None:
    desk.failure = CommandRefusedError("not this one")
    await desk.leave(desk.command())


@pytest.mark.parametrize(
    ("left", "error"),
    [
        (expired, CommandExpiredError),
        (good_for_ever, CommandExpiredError),
        (from_the_future, CommandFutureError),
        (copied, CommandReplayedError),
        (by_metadata_itself, CommandUnsignedError),
        (under_a_stolen_name, CommandUnsignedError),
        (signed_as_something_else, CommandUnsignedError),
        (unsigned, CommandUnsignedError),
        (changed_after_signing, CommandUnsignedError),
        (of_no_known_kind, CommandUnknownError),
        (that_is_no_command, MalformedMessageError),
        (that_must_not_be, CommandRefusedError),
    ],
)
async def test_a_command_is_refused_with_its_code_and_never_done(
    left: Left, error: type[SvcError]
) -> None:
    desk = Desk()
    await left(desk)

    await run_for(1, desk.follower())
    desk.failure = None
    await run_for(5, desk.follower())

    result = await desk.result()
    assert result is not None
    assert (result.state, result.code) == (CommandState.REFUSED, error.code)
    assert "c-1" not in desk.done


async def test_a_result_that_cannot_be_read_is_no_leave_to_begin() -> None:
    desk = Desk()
    await desk.leave(desk.command())
    desk.world.store.put(f"{RESULTS_PATH}/c-1", {"state": "begun, I think"})

    await run_for(5, desk.follower())

    result = await desk.result()
    assert result is not None
    assert (result.state, desk.done) == (CommandState.REFUSED, [])


async def test_one_bad_command_does_not_hold_up_the_next() -> None:
    desk = Desk()
    await unsigned(desk)
    await desk.leave(desk.command("c-2"))

    await run_for(1, desk.follower())

    assert desk.done == ["c-2"]
