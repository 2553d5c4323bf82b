"""A right that is withdrawn rolls its keys, whoever dies when; versions never go back."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

import pytest

from services.metadata.domain import key_generations, key_ledger
from services.metadata.domain.key_ledger import KeyLedger
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.instance_keys import InstanceKeys
from services.metadata.flows.key_issuance import KeyIssuance
from services.metadata.flows.key_keeping import KeyKeeper
from services.metadata.flows.key_reading import KeysNotReadyError
from services.metadata.flows.ledger_keeping import LEDGER_PATH, LedgerKeeper
from svc_core.domain.acl import Acl, acl_from_roles
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.subjects import AUTH_REQUEST, KEYS_PATH, RESPONDER
from svc_core.errors import SecretStoreError
from tests.builders import DEMO, seeded_entropy
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


def stood_by(world: World) -> KeyIssuance:
    """Return what a replica serves that does not hold the lease."""
    return world.start("metadata-2", term=lambda: None).keys


LESS = without(AUTHCONTROLLER, "subscribe", AUTH_REQUEST)
ONCE = {AUTH_REQUEST: 1, RESPONDER: 1}
ROLLED = {AUTH_REQUEST: 2, RESPONDER: 1}


async def test_a_lost_right_rolls_this_epoch_and_the_next_and_leaves_the_past() -> None:
    world = World()
    issuance = world.start_alone().keys
    await run_for(PERIOD_S + LEAD_S + 0.1, issuance)

    world.acls.replace(LESS)
    await run_for(0.1, issuance)

    assert counts(issuance) == [ONCE, ROLLED, ROLLED]


async def test_a_gained_right_changes_the_version_and_rolls_nothing() -> None:
    world = World()
    world.acls.replace(LESS)
    issuance = world.start_alone().keys
    before = await issuance.catch_up()

    world.acls.replace(acl_from_roles(roles(), known=KNOWN)[0])
    after = await issuance.catch_up()

    assert after.version == before.version + 1
    assert counts(issuance) == [ONCE]


@pytest.mark.parametrize("is_after", [False, True], ids=["before it happened", "after it happened"])
@pytest.mark.parametrize("effect", range(1, 6))
async def test_a_death_between_seeing_a_loss_and_rolling_loses_no_roll(
    effect: int, *, is_after: bool
) -> None:
    world = World()
    await run_for(PERIOD_S + LEAD_S + 0.1, world.start_alone().keys)
    before = await world.start_alone().keys.catch_up()
    world.acls.replace(LESS)
    world.mishaps.at, world.mishaps.is_after = world.mishaps.count + effect, is_after
    with suppress(SecretStoreError):
        await world.start_alone().keys.catch_up()

    restarted = world.start_alone().keys
    snapshot = await restarted.catch_up()

    assert counts(restarted) == [ONCE, ROLLED, ROLLED]
    assert snapshot.version > before.version
    again = world.start_alone().keys
    assert (await again.catch_up()).version == snapshot.version + 1
    assert secrets(again) == secrets(restarted)


async def test_a_change_while_nobody_ran_rolls_at_the_next_start() -> None:
    world = World()
    await world.start_alone().keys.catch_up()

    world.acls = AclSource(LESS)
    restarted = world.start_alone().keys
    await restarted.catch_up()

    assert counts(restarted) == [ROLLED]


async def test_a_replica_that_stands_by_rolls_nothing_and_serves_the_roll_once_it_is_made() -> None:
    world = World()
    one, ours = world.start_alone().keys, world.acls
    world.acls = theirs = AclSource(ours.current)
    other = stood_by(world)
    before = await one.catch_up()

    theirs.replace(LESS)
    assert other.snapshot is None
    with pytest.raises(KeysNotReadyError, match="other rights"):
        await other.catch_up()
    theirs.replace(ours.current)
    assert (await other.catch_up()).version == before.version

    ours.replace(LESS)
    first = await one.catch_up()
    with pytest.raises(KeysNotReadyError, match="other rights"):
        await other.catch_up()
    theirs.replace(LESS)
    second = await other.catch_up()

    assert secrets(one) == secrets(other)
    assert counts(one) == [ROLLED]
    assert first.ledger == second.ledger


async def test_keys_that_are_ahead_of_the_ledger_are_handed_out_by_nobody() -> None:
    """The holder died, or is, between storing what it rolled and writing the ledger."""
    world = World()
    one, other = world.start_alone().keys, stood_by(world)
    before = await one.catch_up()
    await one.ledgers.change(lambda ledger: ledger.rolled("order"))
    world.mishaps.at = world.mishaps.count + 2
    with suppress(SecretStoreError):
        await one.catch_up()
    stored = await KeyKeeper(world.store, world.wrap).fetch(before.generations[-1].epoch)
    assert stored is not None
    assert (stored.generation.rolls, (await one.ledgers.load()).mark) == (1, before.ledger.mark)

    with pytest.raises(KeysNotReadyError):
        await other.catch_up()

    await one.catch_up()
    assert (await other.catch_up()).version == before.version + 1


async def test_keys_of_the_running_epoch_that_are_just_being_changed_are_left_alone() -> None:
    world = World()
    one, other = world.start_alone().keys, stood_by(world)
    before = await one.catch_up()
    keeper, epoch = KeyKeeper(world.store, world.wrap), before.generations[-1].epoch
    kept = await keeper.fetch(epoch)
    assert kept is not None
    rolled = kept.generation.caught_up(before.acl, seeded_entropy(), rolls=1)
    await keeper.store(rolled, term=kept.term, found=kept)

    with pytest.raises(KeysNotReadyError, match="just being changed"):
        await other.catch_up()


async def test_keys_that_the_ledger_names_and_nobody_finds_are_waited_for() -> None:
    world = World()
    one, other = world.start_alone().keys, stood_by(world)
    before = await one.catch_up()
    await world.store.remove(f"{KEYS_PATH}/{before.generations[-1].epoch}")

    with pytest.raises(KeysNotReadyError, match="not to be found"):
        await other.catch_up()


async def test_before_the_first_keys_a_replica_that_stands_by_waits_for_them() -> None:
    world = World()
    one, other = world.start_alone().keys, stood_by(world)
    world.around.health.expect(other.name, timedelta(minutes=1))

    await run_for(5, other)
    assert other.snapshot is None
    assert world.store.history == []
    assert "no keys have been issued" in world.around.health.report().loops[other.name].detail

    await one.catch_up()
    await run_for(5, other)
    assert secrets(other) == secrets(one)


async def test_a_replica_reads_the_rights_that_are_stored_before_it_gives_up() -> None:
    world = World()
    one, ours = world.start_alone().keys, world.acls
    await one.catch_up()
    theirs = AclSource(LESS)

    async def refresh() -> None:
        theirs.replace(ours.current)

    other = KeyIssuance(
        KeyKeeper(world.store, world.wrap),
        LedgerKeeper(world.store, lambda: None),
        InstanceKeys(world.store, world.clock),
        theirs,
        world.around,
        refresh,
    )

    await other.catch_up()

    assert secrets(other) == secrets(one)


async def test_an_ordered_roll_is_in_the_keys_of_a_replica_that_did_not_order_it() -> None:
    world = World()
    one, other = world.start_alone().keys, stood_by(world)
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
        issuance = world.start_alone().keys
        await run_for(PERIOD_S * 0.7, issuance)
        world.acls.replace(LESS if turn % 2 else acl_from_roles(roles(), known=KNOWN)[0])
        versions += [(await issuance.catch_up()).version]

    assert versions == sorted(set(versions))


async def test_the_keys_of_a_version_are_stored_before_the_version_is() -> None:
    world = World()
    await world.start_alone().keys.catch_up()
    world.acls.replace(LESS)
    before = len(world.store.history)
    await world.start_alone().keys.catch_up()

    written = world.store.history[before:]

    assert [path for path, _ in written[:1]] == [LEDGER_PATH]
    claim, *_, issued = (key_ledger.decode(d) for p, d in written if p == LEDGER_PATH)
    assert [path.startswith(KEYS_PATH) for path, _ in written[1:]] == [True, False]
    assert (claim.term, claim.version + 1) == (issued.term, issued.version)


async def test_a_revoked_service_has_no_seed_in_any_epoch_and_another_when_it_is_back() -> None:
    world = World()
    issuance = world.start_alone().keys
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
    issuance = world.start_alone().keys
    await run_for(1, issuance)
    world.acls.replace(LESS)
    await run_for(2, issuance)

    assert counts(issuance) == [ROLLED]
