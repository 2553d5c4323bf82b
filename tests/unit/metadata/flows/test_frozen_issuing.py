"""A holder of the lease that is frozen while issuing writes nothing once another has taken over.

It is told nothing here: it goes on believing that it holds the lease, so that what keeps it from
writing is in the store alone. Meanwhile a right was withdrawn that it has not heard of.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.metadata.domain import key_ledger
from services.metadata.domain.key_ledger import KeyLedger, KeySnapshot
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.key_keeping import KeyKeeper
from services.metadata.flows.ledger_keeping import LEDGER_PATH, LedgerKeeper
from svc_core.domain.acl import acl_from_roles
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, InstanceName
from svc_core.domain.subjects import AUTH_REQUEST, BUNDLES_PATH, KEYS_PATH, RESPONDER
from svc_core.errors import StaleWriteError
from svc_core.runtime.supervision import Loop
from tests.builders import DEMO, NOW, seeded_entropy
from tests.fakes.memory_secret_store import MemorySecretStore
from tests.unit.metadata.acls import KNOWN, roles
from tests.unit.metadata.frost import Frost, FrostyStore
from tests.unit.metadata.office import recovery_of
from tests.unit.metadata.world import Authority, Follower, World, run_for

EPOCH = DEMO.keys.current(NOW).number
PERIOD_S = DEMO.keys.period.total_seconds()
TAKES_OVER_S = 6.0
"""How long the other replica watches the lease stand still; a freeze lasts ten seconds."""


def less() -> Any:
    """Return the rights without one that everybody had."""
    changed = roles()
    changed[AUTHCONTROLLER]["subscribe"].remove(AUTH_REQUEST)
    return acl_from_roles(changed, known=KNOWN)[0]


@dataclass
class Record:
    """Writes down what each version consisted of, whoever would have handed it out."""

    authorities: list[Authority]
    seen: dict[int, set[tuple[str, ...]]] = field(default_factory=lambda: defaultdict(set))
    name: str = "record"

    async def run(self) -> None:
        """Look ten times a second, for ever."""
        while True:
            for authority in self.authorities:
                if authority.keys.snapshot is not None:
                    snapshot = authority.keys.snapshot
                    self.seen[snapshot.version].add(contents(snapshot))
            await asyncio.sleep(0.1)


def contents(snapshot: KeySnapshot) -> tuple[str, ...]:
    """Return every key that may still be sealed or signed with, by its place."""
    return tuple(
        f"{g.epoch} {topic} {key.reveal().hex()}"
        for g in snapshot.generations
        for topic in sorted(g.topics)
        for key in g.topics[topic]
    )


@dataclass
class Scene:
    """The frozen one, the other one, and two instances that bundles are kept for."""

    frost: Frost
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        self.frosty = FrostyStore(self.world.store, self.frost)
        self.instances = [
            Follower(self.world, GATEKEEPER, InstanceName("g1")),
            Follower(self.world, AUTHCONTROLLER, InstanceName("a1")),
        ]

    async def play(self) -> tuple[Authority, Authority]:
        """Have one issue until it freezes, the other take over, and the first wake up again."""
        for instance in self.instances:
            instance.register()
            await instance.register_kem()
        frozen = self.world.start("metadata-1", store=self.frosty, term=lambda: 1)
        self.world.acls = AclSource(self.world.acls.current)
        other = self.world.start("metadata-2", term=lambda: 2)
        self.record = Record([frozen, other])

        async with asyncio.TaskGroup() as group:
            runs = group.create_task(run_for(3 * PERIOD_S, *issuing(frozen), self.record))
            await self.frost.came.wait()
            await asyncio.sleep(TAKES_OVER_S)
            self.world.acls.replace(less())
            await run_for(2 * PERIOD_S, *issuing(other))
            await runs
        return frozen, other


def issuing(authority: Authority) -> tuple[Loop, ...]:
    """Return the loops that make keys and keep bundles."""
    return authority.keys, authority.bundles


POINTS = [
    *(("fetch", LEDGER_PATH, n) for n in (1, 2, 3, 5)),
    *(("store", LEDGER_PATH, n) for n in (1, 2, 3)),
    *(("fetch", KEYS_PATH, n) for n in (1, 2, 3)),
    *(("store", KEYS_PATH, n) for n in (1, 2)),
    *(("list", KEYS_PATH, n) for n in (1, 3)),
    *(("fetch", f"{BUNDLES_PATH}/", n) for n in (1, 2, 3)),
    *(("store", f"{BUNDLES_PATH}/", n) for n in (1, 2, 3)),
    ("list", BUNDLES_PATH, 3),
    ("list", "kem/", 2),
]


@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("point", POINTS, ids=lambda p: f"{p[0]} {p[1].strip('/')}, {p[2]}")
async def test_what_it_still_writes_fails_by_itself(
    point: tuple[str, str, int], *, is_before: bool
) -> None:
    scene = Scene(Frost(*point, is_before))

    frozen, other = await scene.play()

    assert [path for path, has_thawed in scene.frosty.stored if has_thawed] == []
    assert {v: len(c) for v, c in scene.record.seen.items() if len(c) > 1} == {}
    ledger = await other.ledgers.load()
    assert (ledger.term, ledger.issued_in) == (2, 2)
    [newest] = [g for g in other.keys.generations if g.epoch.number == ledger.newest]
    assert newest.permissions is not None
    assert AUTH_REQUEST not in newest.permissions.services[AUTHCONTROLLER].topics
    # What it heard last is of other rights, so it hands out nothing until it hears of these.
    assert frozen.keys.snapshot is None or frozen.keys.snapshot.ledger != ledger
    for instance in scene.instances:
        bundle = await recovery_of(scene.world, instance).fetch(in_use=0)
        assert bundle is not None
        assert bundle.version == ledger.version


async def test_every_epoch_has_one_set_of_keys_over_a_takeover() -> None:
    scene = Scene(Frost("store", KEYS_PATH, 2))

    _, other = await scene.play()

    found = [g.epoch.number - EPOCH for g in other.keys.generations]
    assert found == sorted(set(found))
    by_epoch: dict[str, set[str]] = defaultdict(set)
    for every in scene.record.seen.values():
        for line in (line for keys in every for line in keys):
            epoch, topic, key = line.split()
            by_epoch[f"{epoch} {topic}"].add(key)
    # Two, where the withdrawn right rolled the first; never one of each replica.
    assert {place: len(keys) for place, keys in by_epoch.items() if RESPONDER in place} == {
        f"{EPOCH + n} {RESPONDER}": 1 for n in range(len(by_epoch) // 2)
    }


# --- the fence by itself --------------------------------------------------------------------------


async def test_a_later_term_in_the_ledger_keeps_an_earlier_one_out() -> None:
    store = MemorySecretStore()
    former, holder = LedgerKeeper(store, lambda: 1), LedgerKeeper(store, lambda: 2)
    await former.claim()
    await holder.claim()

    with pytest.raises(StaleWriteError, match="term 2, not 1"):
        await former.change(lambda ledger: ledger.rolled("order"))

    assert (await holder.load()).rolls == 0


async def test_who_does_not_hold_the_lease_changes_no_ledger() -> None:
    store = MemorySecretStore()

    with pytest.raises(StaleWriteError, match="holder of the lease"):
        await LedgerKeeper(store, lambda: None).change(lambda ledger: ledger.rolled("order"))

    assert store.history == []


async def test_a_change_begun_before_another_took_over_is_not_written_after_it() -> None:
    store = MemorySecretStore()
    former, holder = LedgerKeeper(store, lambda: 1), LedgerKeeper(store, lambda: 2)
    await former.claim()
    frost = Frost("store", LEDGER_PATH, 1)
    frozen = LedgerKeeper(FrostyStore(store, frost), lambda: 1)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(refused(frozen))
        await frost.came.wait()
        await holder.claim()
    assert task.result()
    assert key_ledger.decode(store.history[-1][1]).term == 2


async def refused(ledgers: LedgerKeeper) -> bool:
    """Order a roll and say whether it was refused."""
    try:
        await ledgers.change(lambda ledger: ledger.rolled("order"))
    except StaleWriteError:
        return True
    return False


async def test_keys_of_a_later_term_are_not_replaced_by_an_earlier_one() -> None:
    world = World()
    keeper = KeyKeeper(world.store, world.wrap)
    await world.start(term=lambda: 2).keys.catch_up()
    found = await keeper.fetch(Epoch(EPOCH))
    assert found is not None
    assert found.term == 2

    with pytest.raises(StaleWriteError, match="written in term 2"):
        await keeper.store(found.generation, term=1, found=found)


async def test_a_takeover_that_changes_no_key_keeps_the_former_holder_out_all_the_same() -> None:
    world = World()
    await world.start(term=lambda: 1).keys.catch_up()
    keeper = KeyKeeper(world.store, world.wrap)
    before = await keeper.fetch(Epoch(EPOCH))
    assert before is not None
    await world.start(term=lambda: 2).keys.catch_up()
    after = await keeper.fetch(Epoch(EPOCH))
    assert after is not None
    assert after.wrapped == before.wrapped

    changed = before.generation.caught_up(less(), seeded_entropy(), rolls=1)
    for found in (before, after):
        with pytest.raises(StaleWriteError):
            await keeper.store(changed, term=1, found=found)


def test_a_term_that_begins_is_no_other_version_and_what_it_issues_is() -> None:
    ledger = KeyLedger().claimed(1).issued(7, "m")

    claimed = ledger.claimed(2)

    assert claimed.version == ledger.version
    assert claimed.issued(7, "m").version == ledger.version + 1
    assert ledger.issued(7, "m") == ledger
