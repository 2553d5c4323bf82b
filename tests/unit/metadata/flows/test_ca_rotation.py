"""The reconciler: boots without NATS, rotates in order, survives every crash, never goes back."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.metadata.domain import journal_codec
from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.key_generations import acl_digest
from services.metadata.domain.lease import LeaseTimes
from services.metadata.flows import rotation_metrics
from svc_core.domain.acl import acl_from_roles
from svc_core.domain.desired import TopicGrant
from svc_core.domain.identity import GATEKEEPER
from svc_core.domain.subjects import JOURNAL_PATH, RESPONDER
from svc_core.errors import SecretStoreError
from tests.builders import DEMO
from tests.fakes.mishaps import Mishaps
from tests.unit.metadata.acls import KNOWN, roles
from tests.unit.metadata.journals import EPOCH, at, ca, make_issuer, make_journal
from tests.unit.metadata.world import KilledError, Mortal, World, after, make_followers, run_for

PERIOD_S = DEMO.ca.period.total_seconds()
LEAD_S = PERIOD_S - DEMO.ca.lead.total_seconds()
BUDGET_S = DEMO.drain_budget.total_seconds()
ACTIVE, DRAINING, DRAINED = IssuerState.ACTIVE, IssuerState.DRAINING, IssuerState.DRAINED


async def test_a_first_boot_needs_no_nats_and_waits_for_nobody() -> None:
    world = World()
    world.bus.is_severed = True
    authority = world.start()

    await run_for(1, *authority.loops)

    assert [s.active for s in world.desired] == [ca()] * len(world.desired)
    assert await world.states() == {ca(): ACTIVE}
    assert world.proof.proven == []
    assert world.desired[-1].grants[GATEKEEPER].subscribe == (RESPONDER,)
    assert world.desired[-1].root_pem == world.roots.pem("root")


async def test_the_first_state_is_stored_within_a_moment() -> None:
    world = World()

    await run_for(0.2, *world.start().loops)

    assert world.desired[-1].made_at <= at(0.1)


async def test_a_rotation_trusts_first_and_signs_later() -> None:
    world = World()
    authority = world.start()

    await run_for(PERIOD_S + BUDGET_S, *authority.loops, *make_followers(world))

    assert await world.states() == {ca(): DRAINED, ca(1): ACTIVE}
    successions = [(s.active, [i.name for i in s.issuers]) for s in world.desired]
    assert successions == [
        *[(ca(), [ca()])] * (len(successions) - 2),
        (ca(), [ca(1), ca()]),
        (ca(1), [ca(1), ca()]),
    ]
    assert world.proof.proven == [ca(1)]
    assert authority.count(rotation_metrics.SUCCESS) == 1
    assert authority.count(rotation_metrics.FAILED) == 0
    assert authority.count(rotation_metrics.HELD) == 0


async def test_the_successor_is_made_in_the_lead_and_active_at_the_boundary() -> None:
    world = World()

    await run_for(PERIOD_S + 1, *world.start().loops, *make_followers(world))

    trusted, active = world.desired[-2:]
    assert at(LEAD_S) <= trusted.made_at <= at(LEAD_S + 0.1)
    assert at(PERIOD_S) <= active.made_at <= at(PERIOD_S + 0.1)


async def test_five_rotations_leave_nothing_behind() -> None:
    world = World()

    await run_for(5 * PERIOD_S + 1, *world.start().loops, *make_followers(world))

    journal = await world.journal()
    assert journal.active is not None
    assert journal.active.name == ca(5)
    assert len(journal.issuers) <= 3
    assert world.mint.names == {i.name for i in journal.issuers}
    assert world.mint.made == [ca(n) for n in range(6)]
    assert_versions_grow(world)


async def test_a_silent_instance_holds_the_activation_and_is_named_once() -> None:
    world = World()
    authority, (gatekeeper, watcher) = world.start(), make_followers(world)
    await run_for(LEAD_S - 1, *authority.loops, gatekeeper, watcher)
    gatekeeper.is_trusting = False

    with capture_logs() as logs:
        await run_for(PERIOD_S, *authority.loops, gatekeeper, watcher)

    held = [entry["reason"] for entry in logs if entry["event"] == "rotation.held"]
    assert len(held) == 1
    assert held[0].startswith(f"{ca(1)} is not trusted yet by: gatekeeper/g1")
    assert (await world.states())[ca()] is ACTIVE
    assert authority.count(rotation_metrics.HELD) == 1

    gatekeeper.is_trusting = True
    await run_for(2, *authority.loops, gatekeeper, watcher)

    assert (await world.states())[ca(1)] is ACTIVE
    assert authority.count(rotation_metrics.HELD) == 0


async def test_a_server_that_refuses_the_canary_holds_the_activation_and_is_named_once() -> None:
    world = World()
    authority, followers = world.start(), make_followers(world)
    await run_for(PERIOD_S - 1, *authority.loops, *followers)
    world.proof.refusals = ["n3: certificate unknown"]

    with capture_logs() as logs:
        await run_for(5, *authority.loops, *followers)

    held = [entry["reason"] for entry in logs if entry["event"] == "rotation.held"]
    assert held == [f"canary of {ca(1)} refused: n3: certificate unknown"]
    assert (await world.states())[ca()] is ACTIVE
    assert world.desired[-1].active == ca()
    assert authority.count(rotation_metrics.HELD) == 1

    world.proof.refusals = ()
    await run_for(1, *authority.loops, *followers)

    assert (await world.states())[ca(1)] is ACTIVE


async def test_without_nats_it_holds_and_goes_on_within_five_seconds_of_its_return() -> None:
    world = World()
    loops = (*world.start().loops, *make_followers(world))
    after(LEAD_S + 2, lambda: setattr(world.bus, "is_severed", True))
    await run_for(LEAD_S + PERIOD_S, *loops)
    assert (await world.states())[ca()] is ACTIVE

    world.bus.is_severed = False
    await run_for(5, *loops)

    assert (await world.states())[ca(1)] is ACTIVE


async def test_without_openbao_nothing_happens_and_it_goes_on_within_five_seconds() -> None:
    world = World()
    authority = world.start()

    def fails(failure: SecretStoreError | None) -> None:
        world.store.failure = world.mint.failure = failure

    after(LEAD_S - 1, lambda: fails(SecretStoreError("OpenBao is away")))
    after(PERIOD_S + 5, lambda: fails(None))
    await run_for(PERIOD_S + 10, *authority.loops, *make_followers(world))

    assert (await world.states())[ca(1)] is ACTIVE
    assert not [s for s in world.desired if at(LEAD_S - 1) < s.made_at < at(PERIOD_S + 5)]
    assert authority.count(rotation_metrics.FAILED) > 0
    assert_versions_grow(world)


async def test_connections_that_stay_are_named_for_kicking_once_the_budget_is_used_up() -> None:
    world = World()
    authority, (gatekeeper, watcher) = world.start(), make_followers(world)
    loops = (*authority.loops, gatekeeper, watcher)
    await run_for(PERIOD_S - 1, *loops)
    gatekeeper.is_moving = False

    await run_for(1 + BUDGET_S - 0.5, *loops)
    assert [s for s in world.desired if s.kicked_issuers] == []

    await run_for(1.5, *loops)
    assert world.desired[-1].kicked_issuers == (ca(),)

    gatekeeper.is_moving = True
    await run_for(2, *loops)
    assert (await world.states())[ca()] is DRAINED


async def test_a_rotation_is_complete_only_when_no_older_issuer_is_left_in_use() -> None:
    world = World()
    authority, (gatekeeper, watcher) = world.start(), make_followers(world)
    await world.adopt(
        make_journal(
            make_issuer(DRAINING, -2, version=3, ends=70),
            make_issuer(DRAINING, -1, version=3, ends=80),
            make_issuer(ACTIVE, version=3),
        )
    )
    gatekeeper.issuer, gatekeeper.is_moving = ca(-2), False

    await run_for(1.5, *authority.loops, gatekeeper, watcher)
    assert await world.states() == {ca(-2): DRAINING, ca(-1): DRAINED, ca(): ACTIVE}
    assert authority.count(rotation_metrics.SUCCESS) == 0

    gatekeeper.is_moving = True
    await run_for(1.5, *authority.loops, gatekeeper, watcher)
    assert await world.states() == {ca(-2): DRAINED, ca(-1): DRAINED, ca(): ACTIVE}
    assert authority.count(rotation_metrics.SUCCESS) == 1


async def test_another_acl_is_announced_at_once_as_a_new_version() -> None:
    world = World()
    authority = world.start()
    loops = (*authority.loops, *make_followers(world))
    await run_for(2, *loops)
    before = world.desired[-1]
    changed = roles()
    changed[GATEKEEPER] = {"publish": [], "subscribe": [RESPONDER]}
    acl, _ = acl_from_roles(changed, known=KNOWN)

    world.acls.replace(acl)
    await run_for(0.2, *loops)

    assert world.desired[-1].version == before.version + 1
    assert world.desired[-1].grants[GATEKEEPER] == TopicGrant((), (RESPONDER,))
    assert world.desired[-1].issuers == before.issuers


# --- crashes and other writers ------------------------------------------------------------------


def assert_versions_grow(world: World) -> None:
    """No stored state goes back; the same version never says two different things."""
    for before, later in pairwise(world.desired):
        assert later.version >= before.version
        if later.version == before.version:
            assert replace(later, made_at=before.made_at) == before


WITHOUT_BEATS = LeaseTimes(timedelta(hours=1), timedelta(hours=1))
"""So that every effect that is counted is one of a step."""
FIRST_ROTATION = 26
"""Effects from an empty store to the predecessor's being drained."""
WINDING_UP = 8
"""Effects of retiring and removing an issuer."""


@pytest.mark.parametrize("is_after", [False, True], ids=["before it happened", "after it happened"])
@pytest.mark.parametrize("effect", range(1, FIRST_ROTATION + 1))
async def test_a_crash_at_any_effect_of_a_rotation_is_made_good(
    effect: int, *, is_after: bool
) -> None:
    world = World(lease=WITHOUT_BEATS)
    followers, mortal = make_followers(world), Mortal(world)
    mishaps = Mishaps(effect, is_after=is_after, error=KilledError)
    world.store.mishaps = world.mint.mishaps = mishaps

    await run_for(PERIOD_S + 2, mortal, *followers)

    assert mortal.deaths == 1
    assert mishaps.count >= FIRST_ROTATION - 1
    assert await world.states() == {ca(): DRAINED, ca(1): ACTIVE}
    assert world.mint.made == [ca(), ca(1)]
    assert_versions_grow(world)
    assert world.desired[-1].version == (await world.journal()).version


@pytest.mark.parametrize("is_after", [False, True], ids=["before it happened", "after it happened"])
@pytest.mark.parametrize("effect", range(1, WINDING_UP + 1))
async def test_a_crash_while_an_issuer_is_put_away_is_made_good(
    effect: int, *, is_after: bool
) -> None:
    world = World(lease=WITHOUT_BEATS)
    followers, mortal = make_followers(world), Mortal(world)
    await world.adopt(
        replace(
            make_journal(
                make_issuer(DRAINED, -1, since=-PERIOD_S, version=3, ends=70),
                make_issuer(ACTIVE, version=3),
            ),
            grants_digest=acl_digest(world.acls.current),
        )
    )
    await run_for(0.01, mortal, *followers)
    mishaps = Mishaps(effect, is_after=is_after, error=KilledError)
    world.store.mishaps = world.mint.mishaps = mishaps

    await run_for(3, mortal, *followers)

    assert (mortal.deaths, mishaps.count >= WINDING_UP - 1) == (1, True)
    assert await world.states() == {ca(): ACTIVE}
    assert world.mint.names == {ca()}
    assert [i.name for i in world.desired[-1].issuers] == [ca()]
    assert_versions_grow(world)


async def test_a_process_that_is_started_again_says_the_same_and_rotates_nothing() -> None:
    world = World()
    await run_for(1, *world.start().loops)
    before, journal = world.desired[-1], await world.journal()

    await run_for(1, *world.start().loops)

    assert replace(world.desired[-1], made_at=before.made_at) == before
    assert (await world.journal()).issuers == journal.issuers
    assert world.mint.made == [ca()]


async def test_a_lost_check_and_set_makes_nothing_half_done() -> None:
    world = World()
    authority = world.start()
    await run_for(LEAD_S - 1, *authority.loops, *make_followers(world))
    desired = list(world.desired)
    journal = (await world.journal()).planned(EPOCH + 1, now=world.clock.now())

    def another_was_first() -> None:
        world.store.put(JOURNAL_PATH, journal_codec.encode(journal))

    after(0.5, another_was_first)
    await run_for(1.2, *authority.loops, *make_followers(world))

    assert (await world.journal()).issuers == journal.issuers
    assert (world.mint.made, world.desired) == ([ca()], desired)
    assert authority.count(rotation_metrics.FAILED) == 1

    await run_for(LEAD_S, *authority.loops, *make_followers(world))
    assert world.mint.made == [ca(), ca(1)]
    assert (await world.states())[ca(1)] is ACTIVE


async def test_a_stranger_who_takes_the_lease_raises_its_term() -> None:
    world = World()
    await run_for(1, *world.start("metadata-1").loops)
    first = (await world.journal()).lease

    await run_for(LEAD_S, *world.start("metadata-2").loops)

    second = (await world.journal()).lease
    assert (first.holder, second.holder) == ("metadata-1", "metadata-2")
    assert second.term == first.term + 1
    assert second.beat > first.beat


def test_the_metrics_have_the_names_that_are_documented() -> None:
    registry = CollectorRegistry()
    rotation_metrics.IssuanceMetrics(registry)

    assert {f"{m.name}_total" for m in registry.collect() if m.type == "counter"} == {
        "ca_rotation_attempts_total",
        "ca_rotation_attempts_success_total",
        "ca_rotation_attempts_failed_total",
        rotation_metrics.ROOT_REFUSED,
    }
