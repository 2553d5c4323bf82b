"""Two whole replicas that read two manifests: one set of rights, that of the lease's holder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from services.metadata.domain import stated_rights
from services.metadata.domain.stated_rights import RIGHTS_PATH, StatedRights
from services.metadata.flows.acl_following import AclFollower, AclSource
from services.metadata.flows.manifest_metrics import ManifestMetrics
from services.metadata.flows.rights_keeping import RightsKeeper
from svc_core.domain.acl import Acl, acl_from_roles
from svc_core.domain.identity import AUTHCONTROLLER
from svc_core.domain.subjects import AUTH_REQUEST, RESPONDER
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.runtime.supervision import Loop
from tests.unit.metadata.acls import KNOWN, make_acl, roles
from tests.unit.metadata.flows.test_acl_following import ScriptedManifest
from tests.unit.metadata.world import Authority, World, run_for

FULL = json.dumps({"roles": roles()}).encode()


def with_less() -> dict[str, dict[str, list[str]]]:
    """Return roles under which AuthController hears no requests."""
    less = roles()
    less[AUTHCONTROLLER]["subscribe"].remove(AUTH_REQUEST)
    return less


LESS = json.dumps({"roles": with_less()}).encode()
LESS_ACL: Acl = acl_from_roles(with_less(), known=KNOWN)[0]


@dataclass
class Member:
    """One replica with a manifest of its own."""

    authority: Authority
    source: AclSource
    own_loops: Sequence[Loop]

    @property
    def loops(self) -> Sequence[Loop]:
        """All it runs."""
        return (*self.authority.loops, *self.own_loops)

    @property
    def rolls(self) -> dict[str, int]:
        """How many keys each topic has in the newest epoch it serves."""
        snapshot = self.authority.keys.snapshot
        assert snapshot is not None
        return {topic: len(keys) for topic, keys in snapshot.generations[-1].topics.items()}


def join(world: World, name: str, manifest: bytes | None) -> Member:
    """Return a new replica that reads ``manifest``."""
    world.acls = source = AclSource(None, revoked=None)
    authority = world.start(name)
    metrics = ManifestMetrics(CollectorRegistry())
    keeper = RightsKeeper(world.store, source, lambda: authority.keeper.term, world.around, metrics)
    authority.keeper.wake(keeper.hinted)
    follower = AclFollower(
        ScriptedManifest([manifest]), keeper, KNOWN, world.around.health, metrics
    )
    return Member(authority, source, (keeper, follower))


async def stored_in(world: World) -> StatedRights:
    """Return the rights that are stored."""
    found = await PartedDocuments(world.store).fetch(RIGHTS_PATH)
    assert found is not None
    return stated_rights.decode(found[0])


async def test_who_stands_by_serves_by_the_rights_of_the_holder_until_it_is_the_holder() -> None:
    world = World()
    first, second = join(world, "metadata-1", FULL), join(world, "metadata-2", LESS)

    await run_for(5, *first.loops)
    await run_for(8, *first.loops, *second.loops)
    by_the_holder = await stored_in(world)
    served = second.authority.keys.snapshot
    await run_for(15, *second.loops)

    assert by_the_holder == StatedRights(make_acl(), 1)
    assert served is not None
    assert served.acl == make_acl()
    assert await stored_in(world) == StatedRights(LESS_ACL, 2)
    assert AUTH_REQUEST not in world.desired[-1].grants[AUTHCONTROLLER].subscribe
    assert second.rolls[AUTH_REQUEST] == 2
    assert second.rolls[RESPONDER] == 1


@pytest.mark.parametrize("manifest", [None, b"roles: ["], ids=["deleted", "bad"])
async def test_a_replica_without_a_manifest_takes_over_and_withdraws_nothing(
    manifest: bytes | None,
) -> None:
    world = World()
    first, second = join(world, "metadata-1", FULL), join(world, "metadata-2", manifest)

    await run_for(5, *first.loops)
    await run_for(3, *first.loops, *second.loops)
    granted = world.desired[-1].grants
    await run_for(15, *second.loops)

    assert second.authority.keeper.is_holder
    assert await stored_in(world) == StatedRights(make_acl(), 2)
    assert world.desired[-1].grants == granted
    assert set(second.rolls.values()) == {1}
