"""The rights in force are in OpenBao before anybody has them, and stay there whatever happens."""

import asyncio
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.metadata.domain import stated_rights
from services.metadata.domain.stated_rights import RIGHTS_PATH, StatedRights
from services.metadata.flows.acl_following import AclFollower, AclSource
from services.metadata.flows.manifest_metrics import IN_FORCE, ManifestMetrics
from services.metadata.flows.rights_keeping import RightsKeeper
from services.metadata.ports import AclManifest
from svc_core.domain.acl import Acl, ServicePermissions
from svc_core.domain.identity import GATEKEEPER, Subject
from svc_core.domain.subjects import KEYS_PATH
from svc_core.errors import ConfigError, SecretStoreError
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.ports.secret_store import Document
from svc_core.runtime.health import Health
from svc_core.wire import document_heads
from tests.builders import make_surroundings
from tests.fakes.clock import LoopClock
from tests.fakes.memory_secret_store import MemorySecretStore
from tests.unit.metadata.flows.test_acl_following import (
    GOOD,
    KNOWN,
    OTHER,
    ScriptedManifest,
    UnreadableManifest,
    acl_of,
    watched,
)
from tests.unit.metadata.world import World, run_for


@dataclass
class Replica:
    """One process of the authority, as far as it is about rights; dies with its loops."""

    store: MemorySecretStore
    manifest: AclManifest
    term: int | None = None
    """Of the lease, if it holds it."""
    source: AclSource = field(default_factory=lambda: AclSource(None))
    health: Health = field(default_factory=watched)

    def __post_init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ManifestMetrics(self.registry)
        around = make_surroundings(LoopClock(), health=self.health)
        self.keeper = RightsKeeper(self.store, self.source, lambda: self.term, around, self.metrics)
        self.follower = AclFollower(self.manifest, self.keeper, KNOWN, self.health, self.metrics)

    @property
    def in_force(self) -> float | None:
        """What the gauge says."""
        return self.registry.get_sample_value(IN_FORCE)

    async def live(self, seconds: float = 5.0) -> list[str]:
        """Run for so long; return the events about rights."""
        with capture_logs() as events:
            await run_for(seconds, self.follower, self.keeper)
        return [e["event"] for e in events if e["event"].startswith(("rights.", "acl."))]


async def stored_in(store: MemorySecretStore) -> StatedRights | None:
    """Return the rights that are stored."""
    found = await PartedDocuments(store).fetch(RIGHTS_PATH)
    return None if found is None else stated_rights.decode(found[0])


async def put(store: MemorySecretStore, raw: bytes, term: int = 0) -> None:
    """Store what a manifest grants, as an earlier process did."""
    payload = stated_rights.encode(StatedRights(acl_of(raw), term))
    await PartedDocuments(store).store(RIGHTS_PATH, payload, expected_version=0)


@pytest.fixture
async def store() -> MemorySecretStore:
    return MemorySecretStore()


async def test_the_first_rights_are_stored_by_anyone_and_again_by_who_takes_the_lease(
    store: MemorySecretStore,
) -> None:
    replica = Replica(store, ScriptedManifest([GOOD]))

    await replica.live()
    first = await stored_in(store)
    replica.term = 4
    await replica.live()

    assert first == StatedRights(acl_of(GOOD), 0)
    assert await stored_in(store) == StatedRights(acl_of(GOOD), 4)
    assert (replica.source.given, replica.in_force) == (acl_of(GOOD), 1)


@pytest.mark.parametrize("is_after", [False, True], ids=["not done", "answer lost"])
async def test_nothing_is_granted_before_it_is_stored(
    store: MemorySecretStore, is_after: bool
) -> None:
    class Noting(AclSource):
        """Knows what was stored last whenever it gets other rights."""

        granted: ClassVar[list[tuple[Acl, Acl]]] = []

        async def adopt(self, acl: Acl) -> None:
            """Take note."""
            _, head = store.history[-1]
            stored = stated_rights.decode(document_heads.decode(head).payload)
            self.granted.append((acl, stored.acl))
            await super().adopt(acl)

    source = Noting(None)
    replica = Replica(store, ScriptedManifest([GOOD, OTHER]), term=1, source=source)
    store.mishaps.at, store.mishaps.is_after = 2, is_after

    await replica.live()

    assert [given for given, _ in source.granted][:1] == [acl_of(GOOD)]
    assert source.given == acl_of(OTHER)
    assert all(given == stored for given, stored in source.granted)
    assert store.mishaps.count >= store.mishaps.at


async def test_no_key_is_made_for_rights_that_are_not_stored() -> None:
    world = World()
    world.acls = AclSource(None)
    authority = world.start()
    await run_for(10, authority.rotator, authority.keys)
    before = list(world.store.history)

    replica = Replica(world.store, ScriptedManifest([GOOD]), source=world.acls)
    await run_for(5, authority.rotator, authority.keys, replica.follower, replica.keeper)

    assert before == []
    paths = [path for path, _ in world.store.history]
    assert paths[0] == RIGHTS_PATH
    assert any(path.startswith(KEYS_PATH) for path in paths)


async def test_who_stands_by_grants_what_is_stored_whatever_its_own_manifest_says(
    store: MemorySecretStore,
) -> None:
    await put(store, GOOD)
    holder = Replica(store, ScriptedManifest([GOOD]), term=1)
    standby = Replica(store, ScriptedManifest([OTHER]))

    with capture_logs() as events:
        await run_for(10, holder.follower, holder.keeper, standby.follower, standby.keeper)
    at_first = standby.source.given
    holder.manifest = ScriptedManifest([OTHER])
    await Replica(store, ScriptedManifest([OTHER]), term=1).live()
    await standby.keeper.refresh()

    assert [e["event"] for e in events].count("acl.overruled") == 1
    assert at_first == acl_of(GOOD)
    assert (await stored_in(store)) == StatedRights(acl_of(OTHER), 1)
    assert (standby.source.given, standby.in_force) == (acl_of(OTHER), 1)


async def test_who_stands_by_follows_what_the_holder_stores(store: MemorySecretStore) -> None:
    standby = Replica(store, ScriptedManifest([GOOD]))
    holder = Replica(store, ScriptedManifest([GOOD, OTHER]), term=1)

    await run_for(5, standby.follower, standby.keeper, holder.follower, holder.keeper)

    assert standby.source.given == holder.source.given == acl_of(OTHER)
    assert standby.in_force == 0


async def test_who_takes_the_lease_states_its_own_manifest(store: MemorySecretStore) -> None:
    await put(store, GOOD, term=1)
    standby = Replica(store, ScriptedManifest([OTHER]))
    await standby.live()
    standby.term = 2

    events = await standby.live()

    assert events == ["rights.stored", "acl.changed"]
    assert await stored_in(store) == StatedRights(acl_of(OTHER), 2)
    assert standby.in_force == 1


async def test_a_holder_that_was_frozen_replaces_nothing(store: MemorySecretStore) -> None:
    await put(store, GOOD, term=7)
    frozen = Replica(store, ScriptedManifest([OTHER]), term=6)

    await frozen.live()

    assert await stored_in(store) == StatedRights(acl_of(GOOD), 7)
    assert frozen.source.given == acl_of(GOOD)


async def test_a_write_that_began_before_the_freeze_fails_by_itself(
    store: MemorySecretStore,
) -> None:
    await put(store, GOOD, term=1)

    class Frozen(MemorySecretStore):
        """Is away for a whole term just before it writes."""

        async def store(self, path: str, data: Document, *, expected_version: int | None) -> int:
            if thawed.term == 1:
                thawed.term = None
                await Replica(store, ScriptedManifest([GOOD]), term=2).live()
            return await store.store(path, data, expected_version=expected_version)

    view = Frozen()
    view.fetch, view.fetch_names = store.fetch, store.fetch_names  # type: ignore[method-assign]
    thawed = Replica(view, ScriptedManifest([OTHER]), term=1)

    await thawed.live(20)

    assert await stored_in(store) == StatedRights(acl_of(GOOD), 2)
    assert thawed.source.given == acl_of(GOOD)


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        pytest.param(ScriptedManifest([None]), "manifest is missing", id="deleted"),
        pytest.param(ScriptedManifest([b""]), "refused, 1 errors, the first: ", id="empty"),
        pytest.param(ScriptedManifest([b"roles: ["]), "refused, 1 errors, the first: ", id="bad"),
        pytest.param(UnreadableManifest([]), "manifest: cannot be read: ", id="unreadable"),
    ],
)
async def test_without_a_manifest_a_new_process_begins_with_what_is_stored(
    store: MemorySecretStore, manifest: ScriptedManifest, reason: str
) -> None:
    await put(store, GOOD, term=1)
    restarted = Replica(store, manifest)

    with capture_logs() as events:
        await run_for(5, restarted.follower, restarted.keeper)
    restarted.term = 2
    await restarted.live()

    (event,) = [e for e in events if e["event"] == "rights.restored"]
    assert (event["log_level"], event["reason"].startswith(reason)) == ("warning", True)
    assert restarted.health.report().ready
    assert (restarted.source.given, restarted.in_force) == (acl_of(GOOD), 0)
    assert await stored_in(store) == StatedRights(acl_of(GOOD), 2)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        pytest.param(ScriptedManifest([None]), "there is no ACL manifest", id="deleted"),
        pytest.param(
            ScriptedManifest([b"roles: {gatekeeper: {publsh: [], publish: [.]}}"]),
            "manifest:1:22: .*\nmanifest:1:44: ",
            id="bad, with every mistake",
        ),
        pytest.param(UnreadableManifest([]), "cannot be read", id="unreadable"),
    ],
)
@pytest.mark.parametrize("damage", [None, {"what": "is this"}], ids=["none", "damaged"])
async def test_without_a_manifest_and_without_stored_rights_nothing_begins(
    store: MemorySecretStore, manifest: ScriptedManifest, said: str, damage: Document | None
) -> None:
    if damage is not None:
        store.put(RIGHTS_PATH, damage)
    replica = Replica(store, manifest)

    with pytest.raises(ConfigError, match=said):
        await run_for(60, replica.follower, replica.keeper)

    assert replica.source.given is None


async def test_while_openbao_is_away_nobody_decides_that_nothing_can_begin(
    store: MemorySecretStore,
) -> None:
    await put(store, GOOD)
    store.failure = SecretStoreError("OpenBao is away")
    asyncio.get_running_loop().call_later(20, setattr, store, "failure", None)
    replica = Replica(store, ScriptedManifest([None]))

    await run_for(30, replica.follower, replica.keeper)

    assert replica.source.given == acl_of(GOOD)


async def test_a_manifest_that_is_only_out_of_reach_is_waited_for(
    store: MemorySecretStore,
) -> None:
    replica = Replica(store, ScriptedManifest([]))
    replica.keeper.go_without("the API does not answer")

    await run_for(60, replica.keeper)
    before = replica.source.given
    await replica.keeper.propose(acl_of(GOOD))
    replica.keeper.go_without("the API does not answer")
    await replica.live(5)

    assert before is None
    assert (replica.source.given, replica.in_force) == (acl_of(GOOD), 1)


async def test_damaged_rights_are_said_and_replaced_by_a_good_manifest(
    store: MemorySecretStore,
) -> None:
    store.put(RIGHTS_PATH, {"what": "is this"})
    replica = Replica(store, ScriptedManifest([GOOD]))

    events = await replica.live()

    assert events == ["rights.damaged", "rights.stored"]
    assert await stored_in(store) == StatedRights(acl_of(GOOD), 0)


@pytest.mark.parametrize("damage", [None, {"what": "is this"}], ids=["removed", "overwritten"])
async def test_what_somebody_did_to_the_stored_rights_is_undone(
    store: MemorySecretStore, damage: Document | None
) -> None:
    replica = Replica(store, ScriptedManifest([GOOD, None]), term=3)
    await replica.live()

    if damage is None:
        await store.remove(RIGHTS_PATH)
    else:
        store.put(RIGHTS_PATH, damage)
    await replica.live()

    assert await stored_in(store) == StatedRights(acl_of(GOOD), 3)
    assert replica.source.given == acl_of(GOOD)


async def test_rights_too_large_for_one_entry_are_stored_all_the_same(
    store: MemorySecretStore,
) -> None:
    topics = frozenset(Subject(f"topic.{'x' * 100}.{n}") for n in range(10_000))
    large = Acl({GATEKEEPER: ServicePermissions(topics, frozenset())})
    replica = Replica(store, ScriptedManifest([]), term=1)

    await replica.keeper.propose(large)

    assert await stored_in(store) == StatedRights(large, 1)
    assert len(await store.fetch_names(f"{RIGHTS_PATH}.parts")) > 1


async def test_two_that_both_think_they_hold_the_lease_agree_in_the_end() -> None:
    store = MemorySecretStore()
    replicas = [
        Replica(store, ScriptedManifest([raw]), term=term) for raw, term in ((GOOD, 1), (OTHER, 2))
    ]

    await run_for(10, *(loop for r in replicas for loop in (r.follower, r.keeper)))

    assert [r.source.given for r in replicas] == [acl_of(OTHER)] * 2
