"""One replica decides: the others watch, take over when it stops, and it notices when it returns.

Two replicas over one store, in virtual time. A frozen replica makes no progress for a while and
then goes on with what it knew, as after SIGSTOP and SIGCONT.
"""

import asyncio
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from services.metadata.domain.audit import Note
from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.journal import Journal, Lease
from services.metadata.domain.key_ledger import KeySnapshot
from services.metadata.domain.lease import LeaseTimes, LeaseView
from services.metadata.flows.ledger_keeping import LEDGER_PATH
from svc_core.domain.audit import AUDIT_PATH
from svc_core.domain.subjects import DESIRED_PATH, JOURNAL_PATH, KEYS_PATH
from svc_core.errors import StaleWriteError
from tests.builders import DEMO
from tests.unit.metadata.frost import Frost, start_frosty
from tests.unit.metadata.journals import EPOCH, ca
from tests.unit.metadata.logbook import assert_whole, read_log
from tests.unit.metadata.world import Authority, World, after, make_followers, run_for

TIMES = LeaseTimes.of(DEMO)
PATIENCE_S = TIMES.patience.total_seconds()
BEAT_S = TIMES.beat.total_seconds()
PERIOD_S = DEMO.ca.period.total_seconds()
ONE_LOOK_S = 1.1


def assert_nothing_was_lost_or_doubled(world: World, periods: int) -> None:
    """Every epoch had one issuer, versions never went back, and one was active at a time."""
    assert world.mint.made == [ca(n) for n in range(periods + 1)]
    for before, later in pairwise(world.desired):
        assert later.version >= before.version
    actives = [state.active for state in world.desired]
    changes = [actives[0], *(b for a, b in pairwise(actives) if a != b)]
    assert changes == [ca(n) for n in range(periods + 1)]


# --- what a lease is -----------------------------------------------------------------------------


def held(holder: str, term: int = 3, beat: int = 7) -> Journal:
    return Journal(lease=Lease(holder, term, beat))


def test_nobodys_lease_is_taken_at_once() -> None:
    assert LeaseView("metadata-1", TIMES).may_take(Journal(), 0.0)


def test_who_starts_again_takes_its_own_former_lease_at_once_under_another_term() -> None:
    view = LeaseView("metadata-1", TIMES)

    assert view.may_take(held("metadata-1"), 0.0)
    assert view.taken(held("metadata-1")).lease == Lease("metadata-1", 4, 7)
    assert not view.is_mine(held("metadata-1"))


def test_another_ones_lease_is_watched_for_the_patience_from_when_it_was_seen() -> None:
    view = LeaseView("metadata-2", TIMES)
    looks = [view.may_take(held("metadata-1"), 100 + t) for t in (0, 1, PATIENCE_S - 0.001)]

    assert looks == [False, False, False]
    assert view.may_take(held("metadata-1"), 100 + PATIENCE_S)


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param(held("metadata-1", beat=8), id="a beat"),
        pytest.param(held("metadata-1", term=4), id="a term"),
        pytest.param(held("metadata-3"), id="a holder"),
    ],
)
def test_a_lease_that_moves_is_watched_anew(moved: Journal) -> None:
    view = LeaseView("metadata-2", TIMES)
    view.may_take(held("metadata-1"), 0.0)

    assert not view.may_take(moved, PATIENCE_S)
    assert view.may_take(moved, 2 * PATIENCE_S)


def test_of_two_processes_with_one_name_the_former_one_waits_like_a_stranger() -> None:
    view = LeaseView("metadata-1", TIMES)
    view.proved(Lease("metadata-1", 3, 7), 0.0)

    assert view.is_mine(held("metadata-1", term=3))
    assert not view.is_mine(held("metadata-1", term=4))
    assert not view.may_take(held("metadata-1", term=4), 1.0)


def test_the_patience_is_several_beats() -> None:
    assert TIMES.patience >= 3 * TIMES.beat


# --- two replicas --------------------------------------------------------------------------------


async def test_one_replica_decides_and_the_other_stands_by() -> None:
    world = World()
    first, second = world.start("metadata-1"), world.start("metadata-2")

    await run_for(2 * PERIOD_S + 1, *first.loops, *second.loops, *make_followers(world))

    assert_nothing_was_lost_or_doubled(world, 2)
    assert (first.keeper.is_holder, second.keeper.is_holder) == (True, False)
    assert (await world.journal()).lease.term == 1
    assert {link.entry.facts.get("former_holder") for link in read_log(world)} == {None, ""}


async def test_a_holder_that_stops_is_followed_within_the_patience_and_a_look() -> None:
    world = World()
    await run_for(2, *world.start("metadata-1").loops)
    stopped_at = world.clock.monotonic()

    with capture_logs() as logs:
        loops = world.start("metadata-2").loops
        await run_for(PATIENCE_S - 1, *loops)
        assert (await world.journal()).lease.holder == "metadata-1"
        await run_for(1 + ONE_LOOK_S, *loops)

    assert (await world.journal()).lease.holder == "metadata-2"
    assert (await world.journal()).lease.term == 2
    taken = [entry for entry in logs if entry["event"] == "lease.taken"]
    assert [(t["holder"], t["former_holder"]) for t in taken] == [("metadata-2", "metadata-1")]
    assert world.clock.monotonic() - stopped_at < PATIENCE_S + ONE_LOOK_S + 0.1


async def test_a_process_that_starts_again_under_its_name_goes_on_at_once() -> None:
    world = World()
    await run_for(2, *world.start("metadata-1").loops)

    again = world.start("metadata-1")
    await run_for(0.1, *again.loops)

    assert again.keeper.is_holder
    assert (await world.journal()).lease.term == 2


def revealed(snapshot: KeySnapshot) -> list[bytes]:
    """Return every topic key, in order."""
    generations = snapshot.generations
    return [k.reveal() for g in generations for t in sorted(g.topics) for k in g.topics[t]]


async def assert_both_serve_the_same_keys(
    first: Authority, second: Authority, *, term: int
) -> None:
    """The ledger is of ``term``, and whoever is asked gives the same keys."""
    theirs, ours = await second.keys.catch_up(), await first.keys.catch_up()
    assert ours.ledger == theirs.ledger
    assert (ours.ledger.term, ours.ledger.issued_in) == (term, term)
    assert revealed(ours) == revealed(theirs) != []


async def test_both_replicas_answer_with_the_same_keys() -> None:
    world = World()
    first, second = world.start("metadata-1"), world.start("metadata-2")

    await run_for(2, *first.loops, *second.loops)

    ours, theirs = first.keys.snapshot, second.keys.snapshot
    assert ours is not None
    assert theirs is not None
    assert ours.version == theirs.version
    assert revealed(ours) == revealed(theirs) != []


async def test_an_order_to_a_replica_that_stands_by_is_refused() -> None:
    world = World()
    first, second = world.start("metadata-1"), world.start("metadata-2")
    refusals: list[StaleWriteError] = []

    class Client:
        name = "client"

        async def run(self) -> None:
            await asyncio.sleep(2)
            try:
                await second.rotator.order(lambda journal: (journal, Note("none", "none")))
            except StaleWriteError as err:
                refusals.append(err)
            await asyncio.Event().wait()

    await run_for(4, *first.loops, *second.loops, Client())

    assert [str(err) for err in refusals] == ["metadata-1 holds the lease"]


async def test_who_was_away_for_long_looks_before_it_does_anything() -> None:
    world = World()
    first, second = world.start("metadata-1").keeper, world.start("metadata-2").keeper
    assert await first.hold()
    assert not await second.hold()
    await asyncio.sleep(PATIENCE_S)
    assert await second.hold()
    written = len(world.store.history)

    assert not await first.hold()

    assert len(world.store.history) == written


async def test_who_has_proved_nothing_for_long_has_no_term_although_it_knows_of_no_other() -> None:
    keeper = World().start("metadata-1").keeper
    terms = [keeper.term]
    assert await keeper.hold()
    terms.append(keeper.term)

    await asyncio.sleep(PATIENCE_S)

    terms.append(keeper.term)
    assert keeper.is_holder
    assert await keeper.hold()
    assert [*terms, keeper.term] == [None, 1, None, 1]


FREEZES = [
    *((("store", f"{AUDIT_PATH}/", n), f"an audit entry, {n}") for n in (2, 5, 7, 9, 11)),
    *((("store", DESIRED_PATH, n), f"the desired state, {n}") for n in (1, 3, 4)),
    *((("store", JOURNAL_PATH, n), f"the journal, {n}") for n in (1, 15, 30)),
    (("fetch", DESIRED_PATH, 4), "a look at the desired state"),
    (("store", KEYS_PATH, 2), "the keys of the next epoch"),
    (("store", LEDGER_PATH, 2), "the ledger of keys"),
    (("mint", "", 2), "making an issuer"),
    (("delete", "", 1), "deleting an issuer"),
]


@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("where", [f[0] for f in FREEZES], ids=[f[1] for f in FREEZES])
async def test_a_frozen_holder_that_wakes_up_loses_and_doubles_nothing(
    where: tuple[str, str, int], *, is_before: bool
) -> None:
    verb, path, count = where
    world, frost = World(), Frost(verb, path, count, is_before)
    first, second = start_frosty(world, frost), world.start("metadata-2")

    await run_for(2 * PERIOD_S + 15, *first.loops, *second.loops, *make_followers(world))

    assert frost.came.is_set()
    assert_nothing_was_lost_or_doubled(world, 2)
    journal = await world.journal()
    assert journal.lease.holder == "metadata-2"
    assert (first.keeper.is_holder, second.keeper.is_holder) == (False, True)
    assert (first.keeper.term, second.keeper.term) == (None, journal.lease.term)
    await assert_both_serve_the_same_keys(first, second, term=journal.lease.term)
    assert world.desired[-1].version == journal.version
    assert journal.active is not None
    assert (journal.active.epoch, journal.active.state) == (EPOCH + 2, IssuerState.ACTIVE)
    assert world.mint.names >= {issuer.name for issuer in journal.trusted}
    await assert_whole(world)


async def test_a_frozen_holder_that_wakes_up_in_time_is_still_the_holder() -> None:
    world, frost = World(), Frost("store", JOURNAL_PATH, 5)
    first, second = start_frosty(world, frost), world.start("metadata-2")
    after(4.5, frost.runs.set)

    await run_for(12, *first.loops, *second.loops)

    assert frost.came.is_set()
    assert (await world.journal()).lease == Lease(
        "metadata-1", 1, (await world.journal()).lease.beat
    )
    assert (first.keeper.is_holder, second.keeper.is_holder) == (True, False)
