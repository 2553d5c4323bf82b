"""What is no step of the rotation is written down first too, or does not happen."""

import pytest

from services.metadata.flows.audit_keeping import AuditLog
from services.metadata.flows.audited import AuditedStore, audited
from services.metadata.flows.commands import Outcome, Progress
from svc_core.domain.audit import NO_ENTRY
from svc_core.domain.operator_command import ROTATE_KEYS, OperatorCommand
from svc_core.errors import SecretStoreError
from tests.builders import NOW
from tests.fakes.mishaps import Mishaps
from tests.unit.metadata.logbook import read_log
from tests.unit.metadata.world import World

PATH = "transport/keys/7"


def make_log(world: World) -> AuditLog:
    log = AuditLog(world.store, world.author, world.clock)
    log.anchor(NO_ENTRY, limit=0)
    return log


async def test_a_change_is_written_down_before_it_is_made_and_what_is_stored_is_not() -> None:
    world = World()
    store = AuditedStore(world.store, make_log(world), "keys")

    version = await store.store(PATH, {"wrapped": "secret"}, expected_version=0)
    await store.remove(PATH)

    told = [(link.entry.kind, link.entry.subject) for link in read_log(world)]
    assert (version, told) == (1, [("keys.stored", PATH), ("keys.removed", PATH)])
    assert [p for p, _ in world.store.history] == ["transport/audit/1", PATH, "transport/audit/2"]
    assert b"secret" not in b"".join(link.body for link in read_log(world))
    assert await store.fetch(PATH) is None
    assert await store.fetch_names("transport/keys") == ()


async def test_what_cannot_be_written_down_is_not_stored_or_removed() -> None:
    world = World()
    store = AuditedStore(world.store, make_log(world), "keys")
    world.store.put(PATH, {"wrapped": "former"})
    for change in (store.store(PATH, {}, expected_version=1), store.remove(PATH)):
        world.store.mishaps = Mishaps(1)
        with pytest.raises(SecretStoreError):
            await change

    found = await store.fetch(PATH)

    assert found is not None
    assert (found.data, found.version) == ({"wrapped": "former"}, 1)


async def test_a_command_is_written_down_before_it_is_carried_out() -> None:
    world = World()
    begun: list[int] = []

    async def carry_out(command: OperatorCommand, progress: Progress) -> Outcome:
        begun.append(len(read_log(world)))
        return {"of": command.id}

    async def progress(_: Outcome) -> None:
        return

    kinds = audited({ROTATE_KEYS: carry_out}, make_log(world))
    command = OperatorCommand("c-1", ROTATE_KEYS, {"why": "test"}, NOW, NOW)

    assert await kinds[ROTATE_KEYS](command, progress) == {"of": "c-1"}
    world.store.mishaps = Mishaps(1)
    with pytest.raises(SecretStoreError):
        await kinds[ROTATE_KEYS](command, progress)

    [link] = read_log(world)
    assert (link.entry.kind, link.entry.subject) == ("command.begun", "c-1")
    assert link.entry.facts == {"order": ROTATE_KEYS, "why": "test"}
    assert begun == [1]
