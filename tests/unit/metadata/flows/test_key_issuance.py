"""Keys are made before they are needed, stored before they are used, and the same ever after."""

from collections.abc import Mapping
from itertools import chain

import msgspec
import pytest

from services.metadata.domain import key_generations
from services.metadata.domain.key_generations import KEPT_EPOCHS, KeyGeneration
from services.metadata.flows.key_issuance import KeyIssuance
from svc_core.domain.acl import acl_from_roles
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import GATEKEEPER
from svc_core.domain.subjects import AUTH_REQUEST, DEAD_LETTER_STREAM, KEYS_PATH
from svc_core.errors import MalformedMessageError, SecretStoreError
from tests.builders import DEMO, NOW, seeded_entropy
from tests.fakes.memory_key_wrap import MemoryKeyWrap
from tests.fakes.mishaps import Mishaps
from tests.unit.metadata.acls import ACL, KNOWN, roles
from tests.unit.metadata.world import World, after, run_for

EPOCH = DEMO.keys.current(NOW).number
PERIOD_S = DEMO.keys.period.total_seconds()
LEAD_S = PERIOD_S - DEMO.keys.lead.total_seconds()


def epochs(issuance: KeyIssuance) -> list[int]:
    """Return the epochs at hand, counted from the one at the start."""
    return [g.epoch.number - EPOCH for g in issuance.generations]


def secrets(issuance: KeyIssuance) -> Mapping[int, object]:
    """Return every secret at hand as it would be written."""
    return {g.epoch.number: key_generations.encode(g) for g in issuance.generations}


def written(world: World) -> list[str]:
    """Return the path of every write of keys, in order."""
    return [path for path, _ in world.store.history if path.startswith(KEYS_PATH)]


async def test_the_first_keys_are_those_of_the_running_epoch() -> None:
    world = World()
    issuance = world.start_alone().keys

    await run_for(1, issuance)

    assert epochs(issuance) == [0]
    assert issuance.newest_epoch == EPOCH
    assert await issuance.issued.wait(0.1)


async def test_before_the_first_there_is_none() -> None:
    issuance = World().start_alone().keys

    assert (issuance.newest_epoch, issuance.generations) == (-1, ())


async def test_the_next_keys_are_there_from_the_beginning_of_the_lead() -> None:
    world = World()
    issuance = world.start_alone().keys

    await run_for(LEAD_S - 0.1, issuance)
    assert epochs(issuance) == [0]

    await run_for(0.2, issuance)
    assert epochs(issuance) == [0, 1]


async def test_four_epochs_and_the_next_are_kept_and_older_ones_destroyed() -> None:
    world = World()
    issuance = world.start_alone().keys

    await run_for(7 * PERIOD_S + LEAD_S + 0.1, issuance)

    assert epochs(issuance) == [4, 5, 6, 7, 8]
    assert len(epochs(issuance)) == KEPT_EPOCHS + 1
    stored = await world.store.fetch_names(KEYS_PATH)
    assert [int(name) - EPOCH for name in stored] == [4, 5, 6, 7, 8]


async def test_a_restart_serves_the_same_bytes() -> None:
    world = World()
    before = world.start_alone().keys
    await run_for(2 * PERIOD_S, before)

    restarted = world.start_alone().keys
    await run_for(0.1, restarted)

    assert secrets(restarted) == secrets(before)
    assert len(secrets(before)) == 3


async def test_two_replicas_serve_the_same_bytes() -> None:
    world = World(wrap=MemoryKeyWrap(takes_s=0.1))
    one, other = world.start_alone().keys, world.start("metadata-2", term=lambda: None).keys

    await run_for(2 * PERIOD_S, one, other)

    assert secrets(one) == secrets(other)
    assert len(written(world)) == len(secrets(one)) == 3


async def test_epochs_in_which_nothing_was_made_stay_empty() -> None:
    world = World()
    await run_for(1, world.start_alone().keys)
    asleep_s = 2 * PERIOD_S

    async def later() -> KeyIssuance:
        await run_for(asleep_s)
        restarted = world.start_alone().keys
        await run_for(0.1, restarted)
        return restarted

    assert epochs(await later()) == [0, 2]


@pytest.mark.parametrize("is_after", [False, True], ids=["before it happened", "after it happened"])
@pytest.mark.parametrize("effect", [1, 2, 3, 4, 5, 6])
async def test_a_write_that_fails_makes_no_second_key(effect: int, *, is_after: bool) -> None:
    world = World(Mishaps(effect, is_after=is_after))
    issuance = world.start_alone().keys

    await run_for(4 * PERIOD_S + LEAD_S + 1, issuance)

    assert len(written(world)) == len(set(written(world))) == 6
    restarted = world.start_alone().keys
    await run_for(0.1, restarted)
    assert secrets(restarted) == secrets(issuance)


async def test_nothing_is_stored_as_it_is() -> None:
    world = World()
    issuance = world.start_alone().keys
    await run_for(1, issuance)

    stored = msgspec.json.encode(world.store.history)

    generation = issuance.generations[0]
    for secret in (*chain.from_iterable(generation.topics.values()), *generation.seeds.values()):
        assert secret.reveal() not in stored
    assert b"topics" not in stored


async def test_another_acl_gets_its_keys_at_once_and_leaves_the_others() -> None:
    world = World()
    issuance = world.start_alone().keys
    changed = roles()
    changed[GATEKEEPER]["publish"] += ["audit.trail"]
    acl, _ = acl_from_roles(changed, known=KNOWN)
    world.acls.wake(issuance.hinted)

    await run_for(1, issuance)
    before = issuance.generations[0]
    after(0.5, lambda: world.acls.replace(acl))
    await run_for(1, issuance)

    topics = issuance.generations[0].topics
    assert set(topics) - set(before.topics) == {"audit.trail"}
    assert topics[AUTH_REQUEST][0].reveal() == before.topics[AUTH_REQUEST][0].reveal()
    assert len(topics[AUTH_REQUEST]) == 1


async def test_while_openbao_is_away_what_is_at_hand_stays_at_hand() -> None:
    world = World()
    issuance = world.start_alone().keys
    await run_for(1, issuance)

    world.store.failure = SecretStoreError("OpenBao is away")
    await run_for(PERIOD_S, issuance)
    assert epochs(issuance) == [0]

    world.store.failure = None
    await run_for(5, issuance)
    assert epochs(issuance) == [0, 1]


async def wrapped(generation: KeyGeneration) -> str:
    return await MemoryKeyWrap().wrap(msgspec.json.encode(key_generations.encode(generation)))


@pytest.mark.parametrize("case", ["no text", "no JSON", "no generation", "another epoch's keys"])
async def test_stored_keys_that_are_not_what_they_should_be_are_refused(case: str) -> None:
    world = World()
    other = KeyGeneration(Epoch(EPOCH + 1), {}, {}).caught_up(ACL, seeded_entropy())
    entries: dict[str, dict[str, object]] = {
        "no text": {"wrapped": 7},
        "no JSON": {"wrapped": await MemoryKeyWrap().wrap(b"{")},
        "no generation": {"wrapped": await MemoryKeyWrap().wrap(b"{}")},
        "another epoch's keys": {"wrapped": await wrapped(other)},
    }
    world.store.put(f"{KEYS_PATH}/{EPOCH}", entries[case])

    with pytest.raises(MalformedMessageError):
        await run_for(1, world.start_alone().keys)


async def test_what_is_no_epoch_is_left_alone() -> None:
    world = World()
    world.store.put(f"{KEYS_PATH}/readme", {"text": DEAD_LETTER_STREAM})

    await run_for(1, world.start_alone().keys)

    assert "readme" in await world.store.fetch_names(KEYS_PATH)
