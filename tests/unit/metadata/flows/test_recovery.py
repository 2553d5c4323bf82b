"""The reconciler undoes what failed, leaves what is distrusted, and writes down what it does."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from services.metadata.domain.issuers import IssuerState
from services.metadata.flows import rotation_metrics
from services.metadata.flows.audit_keeping import entry_path
from services.metadata.flows.issuer_orders import IssuerOrders
from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.audit import AUDIT_PATH, CHECKPOINT
from svc_core.domain.operator_command import (
    ROLLBACK,
    ROTATE_CA,
    TAINT,
    CommandRefusedError,
    CommandUnknownError,
    OperatorCommand,
)
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import DESIRED_PATH, JOURNAL_PATH
from svc_core.errors import SecretStoreError, StaleWriteError
from svc_core.flows.statements import Author
from svc_core.wire import desired as desired_wire
from svc_core.wire import documents
from svc_core.wire import status as status_wire
from tests.builders import DEMO, NOW, make_desired
from tests.fakes.mishaps import Mishaps
from tests.unit.metadata.journals import EPOCH, ca
from tests.unit.metadata.logbook import assert_whole, read_log, stored_log
from tests.unit.metadata.world import (
    Authority,
    Follower,
    World,
    after,
    make_followers,
    run_for,
)

PERIOD_S = DEMO.ca.period.total_seconds()
LEAD_S = PERIOD_S - DEMO.ca.lead.total_seconds()
BUDGET_S = DEMO.drain_budget.total_seconds()
S = IssuerState


@dataclass
class Operator:
    """Gives one order at a time, and remembers how it ended."""

    world: World
    authority: Authority
    refusals: list[Exception] = field(default_factory=list)
    outcomes: list[Mapping[str, object]] = field(default_factory=list)
    name: str = "operator"

    async def give(self, kind: str, *, order: str = "order-1", **arguments: str) -> None:
        """Give one order while the authority works."""
        carry_out = IssuerOrders(self.authority.rotator, self.world.around).kinds[kind]
        command = OperatorCommand(order, kind, arguments, NOW, NOW + timedelta(minutes=1))

        async def progress(_: object) -> None:
            return

        try:
            self.outcomes.append(await carry_out(command, progress))
        except (CommandUnknownError, CommandRefusedError) as err:
            self.refusals.append(err)


@dataclass
class Giving:
    """A loop that gives one order ``at`` a time, then rests."""

    operator: Operator
    at: float
    kind: str
    arguments: dict[str, str]
    order: str = "order-1"
    name: str = "giving"

    async def run(self) -> None:
        """Wait, give the order, rest."""
        await asyncio.sleep(self.at)
        await self.operator.give(self.kind, order=self.order, **self.arguments)
        await asyncio.Event().wait()


@dataclass
class Saying:
    """A loop that has the authority hear a status ``at`` a time, then rests."""

    authority: Authority
    follower: Follower
    at: float
    name: str = "saying"

    async def run(self) -> None:
        """Wait, say it, rest."""
        await asyncio.sleep(self.at)
        document = await self.follower.author.sign(
            status_wire.encode(self.follower.status()), context=contexts.INSTANCE_STATUS
        )
        self.authority.fleet.hear(documents.encode(document))
        await asyncio.Event().wait()


def told(world: World) -> list[tuple[str, str]]:
    """Return kind and subject of every audit entry, checkpoints left out."""
    entries = [link.entry for link in read_log(world)]
    return [(e.kind, e.subject) for e in entries if e.kind != CHECKPOINT]


# --- going back ----------------------------------------------------------------------------------


async def test_a_server_that_does_not_follow_an_activation_brings_the_former_issuer_back() -> None:
    world = World()
    authority, (gatekeeper, watcher) = world.start(), make_followers(world)
    loops = (*authority.loops, gatekeeper, watcher)
    await run_for(PERIOD_S - 1, *loops)
    watcher.stuck_at = world.desired[-1].version
    after(1.5, lambda: setattr(watcher, "server_error", "reload refused: no"))

    with capture_logs() as logs:
        await run_for(1 + BUDGET_S + 0.5, *loops)

    actives = [s.active for s in world.desired]
    assert [actives[0], *(b for a, b in pairwise(actives) if a != b)] == [ca(), ca(1), ca()]
    [undone] = [entry for entry in logs if entry["event"] == "issuer.went_back"]
    assert (undone["issuer"], undone["failed"]) == (ca(), ca(1))
    assert undone["reason"] == "server n3: reload refused: no"
    assert ("issuer.went_back", ca()) in told(world)
    assert [e for e in logs if e["event"] == "ca.rotated"] == []

    watcher.stuck_at, watcher.server_error = None, ""
    await run_for(3, *loops)
    assert (await world.states())[ca()] is S.ACTIVE
    assert ca(1) not in world.mint.names

    await run_for(PERIOD_S, *loops)
    journal = await world.journal()
    assert journal.active is not None
    assert journal.active.epoch == EPOCH + 2
    assert journal.setback.count == 0
    await assert_whole(world)


async def test_a_failure_that_was_judged_is_undone_at_once_and_the_server_is_fenced() -> None:
    world = World()
    authority, (gatekeeper, watcher) = world.start(), make_followers(world)
    loops = (*authority.loops, gatekeeper, watcher)
    await run_for(PERIOD_S - 1, *loops)
    watcher.stuck_at = world.desired[-1].version
    watcher.judges_above = watcher.stuck_at

    await run_for(1 + 2, *loops)

    assert changes_of(world) == [ca(), ca(1), ca()]
    assert list(world.desired[-1].fenced) == ["n3"]
    assert ca(1) not in [i.name for i in world.desired[-1].issuers], "nobody waits for who is out"

    watcher.stuck_at = watcher.judges_above = None
    await run_for(2, *loops)

    assert list(world.desired[-1].fenced) == []
    assert ("servers.unfenced", "n3") in told(world)
    await assert_whole(world)


async def test_one_failure_is_enough_to_go_back_while_the_stream_cannot_be_read() -> None:
    world = World()
    authority, (gatekeeper, watcher) = world.start(), make_followers(world)
    loops = (*authority.loops, gatekeeper, watcher)
    await run_for(PERIOD_S - 1, *loops)
    watcher.stuck_at = watcher.judges_above = world.desired[-1].version
    after(1.02, lambda: setattr(world.bus, "is_severed", True))

    await run_for(1 + 1.5, *loops, Saying(authority, watcher, 1.6))

    assert changes_of(world) == [ca(), ca(1), ca()]


async def test_an_operator_calls_a_successor_off_before_it_signs_anything() -> None:
    world = World()
    authority, followers = world.start(), make_followers(world)
    operator = Operator(world, authority)
    giving = Giving(operator, LEAD_S + 2, ROLLBACK, {})

    await run_for(PERIOD_S + 2, *authority.loops, *followers, giving)

    assert {s.active for s in world.desired} == {ca()}
    assert ca(1) not in [i.name for i in world.desired[-1].issuers]
    assert world.mint.names == {ca()}
    assert ("issuer.called_off", ca(1)) in told(world)


async def test_an_operator_goes_back_and_the_same_order_counts_once() -> None:
    world = World()
    authority, followers = world.start(), make_followers(world)
    operator = Operator(world, authority)
    orders = [Giving(operator, PERIOD_S + 2 + n, ROLLBACK, {}, name=f"n{n}") for n in range(2)]

    await run_for(PERIOD_S + 6, *authority.loops, *followers, *orders)

    actives = [s.active for s in world.desired]
    assert [actives[0], *(b for a, b in pairwise(actives) if a != b)] == [ca(), ca(1), ca()]
    assert operator.refusals == []
    assert (await world.journal()).setback.count == 1


async def test_where_there_is_nowhere_to_go_the_order_is_refused() -> None:
    world = World()
    authority = world.start()
    operator = Operator(world, authority)

    await run_for(3, *authority.loops, *make_followers(world), Giving(operator, 1, ROLLBACK, {}))

    assert [type(err) for err in operator.refusals] == [CommandRefusedError]


# --- an ordered rotation --------------------------------------------------------------------------


def changes_of(world: World) -> list[str]:
    """Return the active issuers of the desired states, each change once."""
    actives = [s.active for s in world.desired]
    return [actives[0], *(b for a, b in pairwise(actives) if a != b)]


async def test_an_ordered_rotation_takes_place_at_once_and_the_boundary_is_kept() -> None:
    world = World()
    authority, followers = world.start(), make_followers(world)
    operator = Operator(world, authority)

    await run_for(5 + 3, *authority.loops, *followers, Giving(operator, 5, ROTATE_CA, {}))
    assert changes_of(world) == [ca(), f"ca-{EPOCH}-2"]
    assert operator.outcomes == [{"after": ca(), "issuer": f"ca-{EPOCH}-2"}]

    await run_for(PERIOD_S, *authority.loops, *followers)
    assert changes_of(world) == [ca(), f"ca-{EPOCH}-2", ca(1)]
    assert world.mint.made == [ca(), f"ca-{EPOCH}-2", ca(1)]
    assert ("issuer.hurried", ca()) in told(world)
    await assert_whole(world)


async def test_in_the_lead_the_order_brings_forward_what_is_staged_and_makes_no_other() -> None:
    world = World()
    authority, followers = world.start(), make_followers(world)
    operator = Operator(world, authority)

    await run_for(
        PERIOD_S + 5, *authority.loops, *followers, Giving(operator, LEAD_S + 3, ROTATE_CA, {})
    )

    assert world.mint.made == [ca(), ca(1)]
    issuer = (await world.journal()).issuer(ca(1))
    assert issuer.state is S.ACTIVE
    assert issuer.since < DEMO.ca.starts(DEMO.ca.current(world.clock.now()))


async def test_two_orders_at_once_and_a_repeat_are_one_rotation() -> None:
    world = World()
    authority, followers = world.start(), make_followers(world)
    operator = Operator(world, authority)
    orders = [
        Giving(operator, 5, ROTATE_CA, {}, name="first"),
        Giving(operator, 5.1, ROTATE_CA, {}, order="order-2", name="second"),
        Giving(operator, 8, ROTATE_CA, {}, order="order-2", name="repeat"),
    ]

    await run_for(5 + 6, *authority.loops, *followers, *orders)

    assert world.mint.made == [ca(), f"ca-{EPOCH}-2"]
    assert [o["issuer"] for o in operator.outcomes] == [f"ca-{EPOCH}-2"] * 3
    assert not (await world.journal()).is_hurried


async def test_an_order_that_somebody_holds_up_says_who_and_can_be_called_off() -> None:
    world = World()
    authority, (gatekeeper, watcher) = world.start(), make_followers(world)
    operator = Operator(world, authority)
    after(4.5, lambda: setattr(gatekeeper, "is_trusting", False))
    orders = [
        Giving(operator, 5, ROTATE_CA, {}, name="first"),
        Giving(operator, 16, ROLLBACK, {}, order="order-2", name="second"),
    ]

    await run_for(5 + 13, *authority.loops, gatekeeper, watcher, *orders)

    second = f"ca-{EPOCH}-2"
    assert operator.outcomes[0] == {
        "after": ca(),
        "issuer": "",
        "held": f"{second} is not trusted yet by: gatekeeper/g1",
    }
    assert changes_of(world) == [ca()]
    assert second not in await world.states() or (await world.states())[second] is S.WITHDRAWN
    assert not (await world.journal()).is_hurried


async def test_where_there_is_no_issuer_yet_no_rotation_can_be_ordered() -> None:
    world = World()
    authority = world.start()
    world.mint.failure = SecretStoreError("OpenBao cannot")
    operator = Operator(world, authority)

    await run_for(3, authority.rotator, Giving(operator, 1, ROTATE_CA, {}))

    assert [type(err) for err in operator.refusals] == [CommandRefusedError]


# --- distrust ------------------------------------------------------------------------------------


async def test_a_tainted_active_issuer_signs_nothing_and_is_gone_in_seconds() -> None:
    world = World()
    authority, followers = world.start(), make_followers(world)
    operator = Operator(world, authority)
    giving = Giving(operator, 5, TAINT, {"issuer": ca()})

    await run_for(5 + 7, *authority.loops, *followers, giving)

    second = f"ca-{EPOCH}-2"
    assert world.mint.silenced == [ca()]
    assert [i.name for i in world.desired[-1].issuers] == [second]
    assert world.desired[-1].active == second
    assert ca() not in world.mint.names
    kinds = [kind for kind, subject in told(world) if subject == ca()]
    assert kinds[-4:] == [
        "issuer.tainted",
        "issuer.silenced",
        "issuer.withdrawn",
        "issuer.removed",
    ]
    assert operator.refusals == []
    await assert_whole(world)


async def test_who_stays_on_a_tainted_issuer_is_cut_after_three_seconds_each() -> None:
    world = World()
    authority, (gatekeeper, watcher) = world.start(), make_followers(world)
    operator = Operator(world, authority)
    after(4.5, lambda: setattr(gatekeeper, "is_trusting", False))
    after(4.5, lambda: setattr(gatekeeper, "is_moving", False))

    await run_for(
        5 + 6 + 1,
        *authority.loops,
        gatekeeper,
        watcher,
        Giving(operator, 5, TAINT, {"issuer": ca()}),
    )

    assert [i.name for i in world.desired[-1].issuers] == [f"ca-{EPOCH}-2"]
    assert world.desired[-1].kicked_issuers == (ca(),)


async def test_the_regular_rotation_goes_on_after_a_taint() -> None:
    world = World()
    authority, followers = world.start(), make_followers(world)
    giving = Giving(Operator(world, authority), 5, TAINT, {"issuer": ca()})

    await run_for(2 * PERIOD_S + 2, *authority.loops, *followers, giving)

    assert world.mint.made == [ca(), f"ca-{EPOCH}-2", ca(1), ca(2)]
    assert world.desired[-1].active == ca(2)


@pytest.mark.parametrize("name", ["", "ca-1-1"])
async def test_what_is_not_there_cannot_be_tainted(name: str) -> None:
    world = World()
    authority = world.start()
    operator = Operator(world, authority)
    giving = Giving(operator, 1, TAINT, {"issuer": name})

    await run_for(2, *authority.loops, giving)

    assert [type(err) for err in operator.refusals] == [CommandUnknownError]


# --- the log -------------------------------------------------------------------------------------


async def test_every_step_of_a_rotation_is_written_down_before_it_is_journalled() -> None:
    world = World()

    await run_for(PERIOD_S + 3, *world.start().loops, *make_followers(world))

    assert told(world) == [
        ("lease.taken", "metadata-1"),
        ("root.adopted", "root"),
        ("issuer.planned", ca()),
        ("issuer.staged", ca()),
        ("issuer.activated", ca()),
        ("grants.changed", (await world.journal()).grants_digest),
        ("issuer.planned", ca(1)),
        ("issuer.staged", ca(1)),
        ("issuer.trusted", ca(1)),
        ("issuer.activated", ca(1)),
        ("issuer.drained", ca()),
    ]
    assert read_log(world)[-1].entry.kind == CHECKPOINT
    paths = [p for p, _ in world.store.history if p.startswith((AUDIT_PATH, JOURNAL_PATH))]
    for before, later in pairwise(paths):
        assert not (before.startswith(AUDIT_PATH) and later.startswith(AUDIT_PATH)) or (
            later == entry_path(read_log(world)[-1].entry.number)
        )
    await assert_whole(world)


async def test_every_version_of_the_desired_state_names_its_entry() -> None:
    world = World()

    await run_for(PERIOD_S + 3, *world.start().loops, *make_followers(world))

    links = {link.entry.number: link for link in read_log(world)}
    for state in world.desired:
        entry = links[state.audit.number]
        assert entry.digest == state.audit.digest
        assert entry.entry.facts["version"] == str(state.version)


async def test_a_rotation_whose_steps_cannot_be_written_down_does_not_take_place() -> None:
    world = World()
    authority, followers = world.start(), make_followers(world)
    await run_for(LEAD_S - 1, *authority.loops, *followers)
    number = len(await stored_log(world)) + 1
    world.store.put(entry_path(number), {"entry": "junk"})

    with capture_logs() as logs:
        await run_for(PERIOD_S, *authority.loops, *followers)

    assert world.mint.made == [ca()]
    assert world.desired[-1].active == ca()
    assert "audit.damaged" in {entry.get("code") for entry in logs}


async def test_a_step_that_was_written_down_and_not_taken_can_be_told() -> None:
    world = World()
    await run_for(1, *world.start().loops)
    world.store.mishaps = Mishaps(2)
    changed = world.acls.current
    world.acls.withhold(frozenset({next(iter(changed.services))}))

    await run_for(3, *world.start().loops)

    entries = [link.entry for link in read_log(world)]
    taken = {entry.follows for entry in entries} | {(await world.journal()).audit.number}
    steps = [entry for entry in entries if entry.follows is not None]
    assert [e.kind for e in steps if e.number not in taken] != []
    assert {e.kind for e in steps if e.number not in taken} <= {"lease.taken", "grants.changed"}
    await assert_whole(world)


async def test_an_older_state_is_never_stored_over_a_later_one() -> None:
    world = World()
    first, second = world.start(), world.start()
    await first.announcer.store(make_desired(version=5))

    with pytest.raises(StaleWriteError, match="a later state"):
        await second.announcer.store(make_desired(version=4))

    await second.announcer.store(make_desired(version=5))
    assert [s.version for s in world.desired] == [5, 5]


async def test_what_is_no_state_at_all_is_replaced() -> None:
    world = World()
    world.store.put(DESIRED_PATH, {"document": "junk"})

    await world.start().announcer.store(make_desired(version=1))

    assert [s.version for s in world.desired] == [1]


async def test_a_later_state_that_is_not_the_authoritys_keeps_nothing_out() -> None:
    world = World()
    seed = SecretBytes(bytes(32))
    stranger = Author(world.author.id, Signer.from_seed(Algorithm.ML_DSA_87, seed))
    body = desired_wire.encode(make_desired(version=99))
    forged = await stranger.sign(body, context=contexts.DESIRED_STATE)
    world.store.put(DESIRED_PATH, documents.encode_entry(forged))

    await world.start().announcer.store(make_desired(version=1))

    assert [s.version for s in world.desired][-1] == 1


async def test_while_the_store_is_away_it_says_so_and_asks_again_within_a_second() -> None:
    world = World()
    authority = world.start()
    await run_for(1, *authority.loops)
    after(0.1, lambda: setattr(world.store, "failure", SecretStoreError("OpenBao is away")))
    after(12.0, lambda: setattr(world.store, "failure", None))

    await run_for(12.0 + 1.1, authority.rotator)

    assert authority.keeper.is_holder
    assert authority.count(rotation_metrics.HELD) == 0


async def test_what_could_not_be_made_is_made_within_a_second_of_the_return_of_the_store() -> None:
    world = World()
    authority, followers = world.start(), make_followers(world)
    after(LEAD_S - 1, lambda: setattr(world.mint, "failure", SecretStoreError("OpenBao fails")))
    after(PERIOD_S + 12.3, lambda: setattr(world.mint, "failure", None))
    returned_at = world.clock.now() + timedelta(seconds=PERIOD_S + 12.3)

    await run_for(PERIOD_S + 16, *authority.loops, *followers)

    staged = next(s for s in world.desired if ca(1) in [i.name for i in s.issuers])
    assert returned_at <= staged.made_at <= returned_at + timedelta(seconds=1)
    assert world.desired[-1].active == ca(1)
    assert world.mint.made == [ca(), ca(1)]
