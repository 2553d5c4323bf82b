"""The roots: found, made, trusted, used and put away, in both modes and through every crash."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from typing import Final

import pytest
from structlog.testing import capture_logs

from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.lease import LeaseTimes
from services.metadata.domain.root_rotation import MOST_ROOTS
from services.metadata.domain.roots import RootState
from services.metadata.flows import rotation_metrics
from services.metadata.flows.root_orders import RootOrders
from svc_core.crypto.certificates import check_chain
from svc_core.domain.audit import CHECKPOINT
from svc_core.domain.desired import TrustMode
from svc_core.domain.operator_command import (
    ROTATE_ROOT,
    CommandRefusedError,
    OperatorCommand,
)
from svc_core.errors import AccessDeniedError, SecretStoreError
from tests.builders import DEMO, NOW
from tests.fakes.mishaps import Mishaps
from tests.unit.metadata.journals import ca, make_issuer, make_journal
from tests.unit.metadata.logbook import assert_whole, read_log
from tests.unit.metadata.world import (
    Authority,
    KilledError,
    Mortal,
    World,
    after,
    make_followers,
    run_for,
)

PERIOD_S = DEMO.ca.period.total_seconds()
LEAD_S = PERIOD_S - DEMO.ca.lead.total_seconds()
ROOT_S = DEMO.root_period.total_seconds()
BEAT_S = DEMO.heartbeat.total_seconds()
S = RootState


async def states(world: World) -> dict[str, RootState]:
    return {root.name: root.state for root in (await world.journal()).roots.known}


def told(world: World, kind: str) -> list[str]:
    """Return the subjects of the audit entries of one kind."""
    entries = [link.entry for link in read_log(world)]
    return [e.subject for e in entries if e.kind == kind and e.kind != CHECKPOINT]


@dataclass
class Giving:
    """A loop that gives one order and rests."""

    authority: Authority
    order: str
    refusals: list[str] = field(default_factory=list)
    name: Final = "giving"

    async def run(self) -> None:
        command = OperatorCommand(self.order, ROTATE_ROOT, {}, NOW, NOW + timedelta(minutes=1))

        async def progress(_: object) -> None:
            return

        try:
            await RootOrders(self.authority.rotator).kinds[ROTATE_ROOT](command, progress)
        except CommandRefusedError as err:
            self.refusals.append(str(err))
        await asyncio.Event().wait()


async def give(authority: Authority, order: str = "order-1") -> list[str]:
    """Give an order while the authority works; return why it was refused."""
    giving = Giving(authority, order)
    await run_for(0.5, giving, authority.rotator)
    return giving.refusals


# --- the first one -------------------------------------------------------------------------------


async def test_the_root_that_openbao_was_set_up_with_is_taken_over() -> None:
    world = World()

    await run_for(1, *world.start().loops)

    journal = await world.journal()
    assert await states(world) == {"root": S.SIGNING}
    assert [issuer.root for issuer in journal.issuers] == ["root"]
    assert world.mint.signed_by == {ca(): "root"}
    assert {state.root_pem for state in world.desired} == {world.roots.pem("root")}
    assert told(world, "root.adopted") == ["root"]


async def test_a_journal_from_before_roots_were_kept_goes_on_under_the_same_version() -> None:
    world = World()
    await world.adopt(make_journal(make_issuer(IssuerState.ACTIVE, version=3)))

    await run_for(1, world.start().rotator)

    assert await states(world) == {"root": S.SIGNING}
    # The other version is that of the permissions, which this journal knows nothing of either.
    assert [(s.version, s.root_pem) for s in world.desired] == [(4, world.roots.pem("root"))]


# --- the next one --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", TrustMode)
async def test_after_its_time_another_root_signs_and_the_former_one_is_put_away(
    mode: TrustMode,
) -> None:
    world = World(trust_mode=mode)
    followers = make_followers(world)
    await run_for(1, *world.start().loops, *followers)
    await grow_old(world, ROOT_S - 2)
    authority = world.start()
    loops = (*authority.loops, *followers)
    await run_for(0.5, *loops)
    assert await states(world) == {"root": S.SIGNING}

    await run_for(PERIOD_S + 5, *loops)

    journal = await world.journal()
    assert await states(world) == {"root": S.LEAVING, "root-2": S.SIGNING}
    assert journal.active is not None
    assert (journal.active.root, world.mint.signed_by[journal.active.name]) == ("root-2", "root-2")
    assert world.desired[-1].root_pem == world.roots.pem("root-2") + world.roots.pem("root")
    assert {s.trust_mode for s in world.desired} == {mode}

    await run_for(2 * PERIOD_S, *loops)

    assert await states(world) == {"root-2": S.SIGNING}
    assert world.desired[-1].root_pem == world.roots.pem("root-2")
    assert (world.roots.keys, world.roots.names) == ({"key of root-2"}, {"root-2"})
    assert authority.count(rotation_metrics.FAILED) == 0
    made, put_away = ("planned", "staged", "activated"), ("retired", "removed")
    assert [told(world, f"root.{step}") for step in made] == [["root-2"]] * 3
    assert [told(world, f"root.{step}") for step in put_away] == [["root"]] * 2
    assert_every_issuer_has_a_trusted_root(world)
    await assert_whole(world)


async def grow_old(world: World, seconds: float) -> None:
    """Have the first root sign since that long ago."""
    journal = await world.journal()
    since = world.clock.now() - timedelta(seconds=seconds)
    roots = replace(journal.roots, known=(replace(journal.roots.known[0], since=since),))
    await world.adopt(journal.with_roots(roots))


def assert_every_issuer_has_a_trusted_root(world: World) -> None:
    """No state that was ever said trusts an issuer whose root it does not."""
    for state in world.desired:
        check_chain(state.trust_pem + state.route_trust_pem, state.root_pem, now=state.made_at)


async def test_in_mode_chain_nothing_is_signed_by_a_root_somebody_does_not_trust() -> None:
    world = World(trust_mode=TrustMode.CHAIN)
    authority, (gatekeeper, watcher) = world.start(), make_followers(world)
    loops = (*authority.loops, gatekeeper, watcher)
    await run_for(1, *loops)
    gatekeeper.is_trusting = False

    with capture_logs() as logs:
        await give(authority)
        await run_for(2 * BEAT_S, *loops)

    held = [entry["reason"] for entry in logs if entry["event"] == "rotation.held"]
    assert len(held) == 1
    assert held[0].startswith("root-2 is not trusted yet by: gatekeeper/g1")
    assert await states(world) == {"root": S.SIGNING, "root-2": S.STAGED}
    assert world.desired[-1].root_pem == world.roots.pem("root-2") + world.roots.pem("root")

    gatekeeper.is_trusting = True
    await run_for(2 * BEAT_S, *loops)

    assert await states(world) == {"root": S.LEAVING, "root-2": S.SIGNING}
    assert authority.count(rotation_metrics.HELD) == 0


async def test_in_mode_intermediates_nobody_is_asked() -> None:
    world = World()
    authority, (gatekeeper, watcher) = world.start(), make_followers(world)
    await run_for(1, *authority.loops, gatekeeper, watcher)
    gatekeeper.is_trusting = False

    await give(authority)
    await run_for(1, *authority.loops, gatekeeper, watcher)

    assert await states(world) == {"root": S.LEAVING, "root-2": S.SIGNING}


async def test_whoever_sleeps_beyond_the_life_of_everything_gets_a_root_and_an_issuer_anew() -> (
    None
):
    world = World(trust_mode=TrustMode.CHAIN)
    await run_for(1, *world.start().loops)
    journal = await world.journal()
    old = replace(journal.roots.known[0], not_after=world.clock.now() + timedelta(seconds=10))
    await world.adopt(replace(journal, roots=replace(journal.roots, known=(old,))))
    await run_for(DEMO.root_validity.total_seconds())

    await run_for(1, *world.start().loops)

    journal = await world.journal()
    assert journal.active is not None
    assert (journal.active.root, journal.active.is_expired(world.clock.now())) == ("root-2", False)


# --- orders --------------------------------------------------------------------------------------


async def test_the_same_order_counts_once_and_another_one_is_refused_until_it_is_done() -> None:
    world = World(trust_mode=TrustMode.CHAIN)
    authority = world.start()
    await run_for(1, *authority.loops)

    refusals = [*await give(authority), *await give(authority), *await give(authority, "order-2")]

    assert refusals == ["another root is being made or trusted already"]
    assert world.roots.made == ["root-2"]
    assert told(world, "root.ordered") == [""]


async def test_no_order_makes_more_roots_than_may_be_trusted() -> None:
    world = World()
    authority = world.start()
    await run_for(1, *authority.loops)
    for number in range(MOST_ROOTS - 1):
        assert await give(authority, f"order-{number}") == []
        await run_for(LEAD_S + PERIOD_S if number == 0 else 1, *authority.loops)
    trusted = [root.name for root in (await world.journal()).roots.trusted]

    refusals = await give(authority, "one-more")

    assert trusted == ["root-3", "root-2", "root"]
    assert refusals == ["as many roots are trusted as may be: root-3, root-2, root"]


# --- the mode ------------------------------------------------------------------------------------


async def test_another_trust_mode_is_a_new_version() -> None:
    world = World()
    await run_for(1, *world.start().loops)
    before = world.desired[-1]
    world.trust_mode = TrustMode.CHAIN

    await run_for(1, *world.start().loops)

    assert world.desired[-1].trust_mode is TrustMode.CHAIN
    assert world.desired[-1].version == before.version + 1
    assert told(world, "trust.mode_changed") == ["chain"]


# --- failures ------------------------------------------------------------------------------------


async def test_a_root_that_openbao_refuses_to_make_holds_no_issuer() -> None:
    world = World()
    authority, followers = world.start(), make_followers(world)
    await run_for(1, *authority.loops, *followers)
    world.roots.failure = AccessDeniedError("no such right")

    with capture_logs() as logs:
        await give(authority)
        await run_for(PERIOD_S + 1, *authority.loops, *followers)

    refusals = [entry["reason"] for entry in logs if entry["event"] == "root.refused"]
    assert refusals == ["no such right"]
    assert (await world.states())[ca(1)] is IssuerState.ACTIVE
    # Said once, counted whenever it is tried again: an alert ends when nothing is refused any more.
    counted = authority.count(rotation_metrics.ROOT_REFUSED)
    assert PERIOD_S / BEAT_S / 2 < counted <= PERIOD_S / BEAT_S + 2

    world.roots.failure = None
    await run_for(BEAT_S + 1, *authority.loops, *followers)

    assert (await states(world))["root-2"] is S.SIGNING
    assert authority.count(rotation_metrics.ROOT_REFUSED) == counted


async def test_without_openbao_it_goes_on_within_five_seconds_of_its_return() -> None:
    world = World()
    authority, followers = world.start(), make_followers(world)
    await run_for(1, *authority.loops, *followers)
    await give(authority)
    world.roots.failure = SecretStoreError("OpenBao is away")
    after(4, lambda: setattr(world.roots, "failure", None))

    await run_for(9, *authority.loops, *followers)

    assert (await states(world))["root-2"] is S.SIGNING


WITHOUT_BEATS = LeaseTimes(timedelta(hours=1), timedelta(hours=1))
"""So that every effect that is counted is one of a step."""
SUCCESSION = 8
"""Effects of planning, making, publishing and using another root."""
PUTTING_AWAY = 7
"""Effects of retiring a root, deleting its key, and deleting it."""


def armed(world: World, effect: int, *, is_after: bool) -> Mishaps:
    mishaps = Mishaps(effect, is_after=is_after, error=KilledError)
    world.store.mishaps = world.mint.mishaps = world.roots.mishaps = mishaps
    return mishaps


def assert_versions_grow(world: World) -> None:
    """No stored state goes back; the same version never says two different things."""
    for before, later in pairwise(world.desired):
        assert later.version >= before.version
        if later.version == before.version:
            assert replace(later, made_at=before.made_at) == before


@pytest.mark.parametrize("is_after", [False, True], ids=["before it happened", "after it happened"])
@pytest.mark.parametrize("effect", range(1, SUCCESSION + 1))
async def test_a_crash_at_any_effect_of_a_succession_is_made_good(
    effect: int, *, is_after: bool
) -> None:
    world = World(lease=WITHOUT_BEATS, trust_mode=TrustMode.CHAIN)
    followers, mortal = make_followers(world), Mortal(world)
    await run_for(1, mortal, *followers)
    journal = await world.journal()
    await world.adopt(journal.with_roots(journal.roots.ordered()))
    # Whoever starts takes its own former lease, which has two effects and is told elsewhere.
    mishaps = armed(world, effect + 2, is_after=is_after)

    await run_for(3, mortal, *followers)

    assert (mortal.deaths, mishaps.count >= SUCCESSION + 1) == (1, True)
    assert await states(world) == {"root": S.LEAVING, "root-2": S.SIGNING}
    assert world.roots.made == ["root-2"]
    assert world.desired[-1].version == (await world.journal()).version
    assert_versions_grow(world)


@pytest.mark.parametrize("is_after", [False, True], ids=["before it happened", "after it happened"])
@pytest.mark.parametrize("effect", range(1, PUTTING_AWAY + 1))
async def test_a_crash_while_a_root_is_put_away_is_made_good(
    effect: int, *, is_after: bool
) -> None:
    world = World(lease=WITHOUT_BEATS)
    followers, mortal = make_followers(world), Mortal(world)
    await run_for(1, mortal, *followers)
    journal, now = await world.journal(), world.clock.now()
    made = await world.roots.make("root-2")
    roots = journal.roots.planned(now=now).staged(
        "root-2",
        pem=made.pem,
        key=made.key,
        not_after=made.not_after,
        now=now,
        version=journal.version,
    )
    issuers = tuple(replace(issuer, root="root-2") for issuer in journal.issuers)
    used = journal.with_roots(roots.activated("root-2", now=now), version=journal.version + 1)
    await world.adopt(replace(used, issuers=issuers))
    mishaps = armed(world, effect + 2, is_after=is_after)

    await run_for(3, mortal, *followers)

    assert (mortal.deaths, mishaps.count >= PUTTING_AWAY + 1) == (1, True)
    assert await states(world) == {"root-2": S.SIGNING}
    assert (world.roots.keys, world.roots.names) == ({"key of root-2"}, {"root-2"})
    assert_versions_grow(world)
