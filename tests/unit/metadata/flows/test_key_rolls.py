"""A right that is withdrawn rolls its keys, whoever dies when; versions never go back."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import pytest

from services.metadata.domain import key_generations
from services.metadata.domain.key_ledger import KeyLedger
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.key_issuance import KeyIssuance
from svc_core.domain.acl import Acl, acl_from_roles
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.subjects import AUTH_REQUEST, KEYS_PATH, RESPONDER
from svc_core.errors import SecretStoreError
from tests.builders import DEMO
from tests.fakes.mishaps import Mishaps
from tests.unit.metadata.acls import KNOWN, roles
from tests.unit.metadata.world import World, run_for

PERIOD_S = DEMO.keys.period.total_seconds()
LEAD_S = PERIOD_S - DEMO.keys.lead.total_seconds()


def without(service: str, verb: str, topic: str) -> Acl:
    changed = roles()
    changed[service][verb].remove(topic)
    return acl_from_roles(changed, known=KNOWN)[0]


def counts(issuance: KeyIssuance) -> list[dict[str, int]]:
    """Return how many keys each topic has, epoch by epoch."""
    return [{str(t): len(k) for t, k in g.topics.items()} for g in issuance.generations]


def secrets(issuance: KeyIssuance) -> Mapping[int, object]:
    """Return every secret at hand as it would be written."""
    return {g.epoch.number: key_generations.encode(g) for g in issuance.generations}


LESS = without(AUTHCONTROLLER, "subscribe", AUTH_REQUEST)
ONCE = {AUTH_REQUEST: 1, RESPONDER: 1}
ROLLED = {AUTH_REQUEST: 2, RESPONDER: 1}


async def test_a_lost_right_rolls_this_epoch_and_the_next_and_leaves_the_past() -> None:
    world = World()
    issuance = world.start().keys
    await run_for(PERIOD_S + LEAD_S + 0.1, issuance)

    world.acls.replace(LESS)
    await run_for(0.1, issuance)

    assert counts(issuance) == [ONCE, ROLLED, ROLLED]


async def test_a_gained_right_changes_the_version_and_rolls_nothing() -> None:
    world = World()
    world.acls.replace(LESS)
    issuance = world.start().keys
    before = await issuance.catch_up()

    world.acls.replace(acl_from_roles(roles(), known=KNOWN)[0])
    after = await issuance.catch_up()

    assert after.version == before.version + 1
    assert counts(issuance) == [ONCE]


@pytest.mark.parametrize("is_after", [False, True], ids=["before it happened", "after it happened"])
@pytest.mark.parametrize("effect", range(1, 5))
async def test_a_death_between_seeing_a_loss_and_rolling_loses_no_roll(
    effect: int, *, is_after: bool
) -> None:
    world = World()
    await run_for(PERIOD_S + LEAD_S + 0.1, world.start().keys)
    before = await world.start().keys.catch_up()
    world.acls.replace(LESS)
    world.mishaps.at, world.mishaps.is_after = world.mishaps.count + effect, is_after
    with suppress(SecretStoreError):
        await world.start().keys.catch_up()

    restarted = world.start().keys
    snapshot = await restarted.catch_up()

    assert counts(restarted) == [ONCE, ROLLED, ROLLED]
    assert snapshot.version > before.version
    again = await world.start().keys.catch_up()
    assert again.version == snapshot.version


async def test_a_change_while_nobody_ran_rolls_at_the_next_start() -> None:
    world = World()
    await world.start().keys.catch_up()

    world.acls = AclSource(LESS)
    restarted = world.start().keys
    await restarted.catch_up()

    assert counts(restarted) == [ROLLED]


async def test_two_replicas_that_see_the_same_loss_make_one_roll_between_them() -> None:
    world = World()
    one, other = world.start("metadata-1").keys, world.start("metadata-2").keys
    await one.catch_up()
    await other.catch_up()

    world.acls.replace(LESS)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(one.catch_up())
        second = group.create_task(other.catch_up())

    assert secrets(one) == secrets(other)
    assert counts(one) == [ROLLED]
    assert first.result().version == second.result().version


async def test_an_ordered_roll_is_in_the_keys_of_a_replica_that_did_not_order_it() -> None:
    world = World()
    one, other = world.start("metadata-1").keys, world.start("metadata-2").keys
    await one.catch_up()
    before = await other.catch_up()

    await one.ledgers.change(lambda ledger: ledger.rolled("order"))
    await one.catch_up()
    after = await other.catch_up()

    assert counts(other) == [{AUTH_REQUEST: 2, RESPONDER: 2}]
    assert secrets(one) == secrets(other)
    assert after.version == before.version + 1


async def test_versions_never_go_back_over_restarts_epochs_and_changes() -> None:
    world = World()
    versions: list[int] = []
    for turn in range(6):
        issuance = world.start().keys
        await run_for(PERIOD_S * 0.7, issuance)
        world.acls.replace(LESS if turn % 2 else acl_from_roles(roles(), known=KNOWN)[0])
        versions += [(await issuance.catch_up()).version]

    assert versions == sorted(set(versions))


async def test_the_keys_of_a_version_are_stored_before_the_version_is() -> None:
    world = World()
    await world.start().keys.catch_up()
    world.acls.replace(LESS)
    before = len(world.store.history)
    await world.start().keys.catch_up()

    written = [path for path, _ in world.store.history[before:]]

    assert [path.startswith(KEYS_PATH) for path in written] == [True, False]


async def test_a_revoked_service_has_no_seed_in_any_epoch_and_another_when_it_is_back() -> None:
    world = World()
    issuance = world.start().keys
    await run_for(PERIOD_S + 1, issuance)
    had = [g.seeds[GATEKEEPER].reveal() for g in issuance.generations]

    await issuance.ledgers.change(lambda ledger: ledger.without(GATEKEEPER, ["g1"]))
    await issuance.catch_up()
    assert all(GATEKEEPER not in g.seeds for g in issuance.generations)
    assert world.acls.revoked == {GATEKEEPER}

    await issuance.ledgers.change(lambda ledger: KeyLedger.lifted(ledger, GATEKEEPER))
    await issuance.catch_up()
    seeds = [g.seeds.get(GATEKEEPER) for g in issuance.generations]
    assert seeds[0] is None
    assert seeds[1] is not None
    assert seeds[1].reveal() not in had


@pytest.mark.parametrize("effect", range(1, 9))
async def test_any_answer_may_be_lost_and_the_roll_is_made_once(effect: int) -> None:
    world = World(Mishaps(effect, is_after=True))
    issuance = world.start().keys
    await run_for(1, issuance)
    world.acls.replace(LESS)
    await run_for(2, issuance)

    assert counts(issuance) == [ROLLED]
