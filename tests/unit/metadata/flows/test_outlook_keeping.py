"""The operator reads what is next and who is waited for; the rotation does not depend on it."""

from typing import Any

from services.metadata.domain.ca_rotation import SilencePolicy
from services.metadata.domain.outlook import FORMAT
from services.metadata.flows.outlook_keeping import OutlookKeeper
from svc_core.domain.identity import InstanceName
from svc_core.domain.subjects import OUTLOOK_PATH
from tests.builders import DEMO
from tests.unit.metadata.journals import EPOCH, ca
from tests.unit.metadata.world import Authority, World, make_followers, run_for

PERIOD_S = DEMO.ca.period.total_seconds()
LEAD_S = PERIOD_S - DEMO.ca.lead.total_seconds()


def keeper(world: World, authority: Authority) -> OutlookKeeper:
    name = InstanceName("metadata-1")
    return OutlookKeeper(world.store, authority.rotator, name, world.around, SilencePolicy.QUORUM)


def told(world: World) -> list[dict[str, Any]]:
    return [dict(data) for path, data in world.store.history if path == OUTLOOK_PATH]


async def test_what_is_next_is_told_with_its_time() -> None:
    world = World()
    authority = world.start()

    await run_for(5, *authority.loops, *make_followers(world), keeper(world, authority))

    last = told(world)[-1]
    assert (last["format"], last["phase"], last["held"]) == (FORMAT, f"resting on {ca()}", "")
    assert [(f["step"], f["subject"]) for f in last["foreseen"]][:4] == [
        ("Plan", ca(1)),
        ("Mint", ca(1)),
        ("MarkTrusted", ca(1)),
        ("Activate", ca(1)),
    ]
    assert (
        last["foreseen"][3]["at"]
        == DEMO.ca.starts(DEMO.ca.due(world.clock.now()).next()).isoformat()
    )
    assert last["if_ordered"][0]["subject"] == f"ca-{EPOCH}-2"
    for steps in (last["roots_foreseen"], last["if_root_ordered"]):
        named = [(f["step"], f["subject"]) for f in steps]
        assert named[0] == ("PlanRoot", "root-2")
        assert named[-1] == ("RemoveRoot", "root")
    assert last["if_root_ordered"][0]["at"] < last["roots_foreseen"][0]["at"]
    assert {c["name"]: c["acknowledged"] for c in last["consumers"]} == {
        "gatekeeper/g1": True,
        "watcher/w1": True,
    }
    assert [s["acknowledged"] for s in last["servers"]] == [True, True, True]


async def test_who_is_waited_for_is_named() -> None:
    world = World()
    authority, (gatekeeper, watcher) = world.start(), make_followers(world)
    outlooks = keeper(world, authority)
    await run_for(LEAD_S - 1, *authority.loops, gatekeeper, watcher, outlooks)
    gatekeeper.is_trusting = False

    await run_for(4, *authority.loops, gatekeeper, watcher, outlooks)

    last = told(world)[-1]
    assert last["phase"] == f"spreading trust in {ca(1)}"
    assert last["held"] == f"{ca(1)} is not trusted yet by: gatekeeper/g1"
    assert [c["name"] for c in last["consumers"] if not c["acknowledged"]] == ["gatekeeper/g1"]


async def test_it_is_written_when_it_changes_and_not_every_second() -> None:
    world = World()
    authority = world.start()
    loops = (*authority.loops, *make_followers(world), keeper(world, authority))
    await run_for(6, *loops)
    before = len(told(world))

    await run_for(10, *loops)

    assert len(told(world)) == before


async def test_who_stands_by_tells_nothing() -> None:
    world = World()
    holder, other = world.start("metadata-1"), world.start("metadata-2")

    await run_for(3, holder.rotator, other.rotator, keeper(world, other))

    assert told(world) == []
