"""Clocks that differ by the tolerated skew, or are set while a rotation is under way.

Nobody who speaks counts as dead for what its clock shows, nobody who is silent counts as live for
it, and the rotation takes place on the boundaries of the authority's own clock.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import pytest
from structlog.testing import capture_logs

from services.metadata.domain.issuers import IssuerState
from svc_core.domain.identity import GATEKEEPER, WATCHER, InstanceName
from svc_core.domain.status import InstanceStatus
from tests.builders import DEMO
from tests.fakes.clock import SteppedClock
from tests.unit.metadata.journals import ca
from tests.unit.metadata.world import Follower, World, after, run_for

SKEW = DEMO.skew
SKEW_S = SKEW.total_seconds()
PERIOD_S = DEMO.ca.period.total_seconds()
LEAD_S = PERIOD_S - DEMO.ca.lead.total_seconds()
SILENCE_S = DEMO.liveness.total_seconds()


@dataclass
class SkewedFollower(Follower):
    """An instance whose clock differs from the authority's, which is right."""

    ahead: timedelta = timedelta(0)
    boot: str = "boot-1"
    is_dead: bool = False

    def status(self) -> InstanceStatus:
        """Return the status by its own clock."""
        said = super().status()
        return replace(said, sent_at=said.sent_at + self.ahead, boot_id=self.boot)

    async def report(self) -> None:
        """Publish a signed status, unless it is dead."""
        if not self.is_dead:
            await super().report()


def skewed(world: World, ahead: timedelta) -> tuple[SkewedFollower, SkewedFollower]:
    """Return Gatekeeper and Watcher, both by a clock that differs."""
    return (
        SkewedFollower(world, GATEKEEPER, InstanceName("g1"), ahead=ahead),
        SkewedFollower(world, WATCHER, InstanceName("w1"), ahead=ahead),
    )


@pytest.mark.parametrize("ahead", [-SKEW, SKEW], ids=["behind", "ahead"])
async def test_with_clocks_a_quarter_of_a_period_apart_rotations_take_place_on_time(
    ahead: timedelta,
) -> None:
    world = World()

    await run_for(3 * PERIOD_S + 1, *world.start().loops, *skewed(world, ahead))

    assert world.mint.made == [ca(n) for n in range(4)]
    assert world.proof.proven == [ca(1), ca(2), ca(3)]
    assert world.desired[-1].active == ca(3)


@pytest.mark.parametrize("ahead", [-SKEW, SKEW], ids=["behind", "ahead"])
async def test_an_instance_whose_clock_differs_holds_the_activation_like_any_other(
    ahead: timedelta,
) -> None:
    world = World()
    gatekeeper, watcher = skewed(world, ahead)
    gatekeeper.is_trusting = False
    authority = world.start()

    await run_for(PERIOD_S + 2, *authority.loops, gatekeeper, watcher)

    assert authority.rotator.held == f"{ca(1)} is not trusted yet by: gatekeeper/g1"
    assert await world.states() == {ca(): IssuerState.ACTIVE, ca(1): IssuerState.STAGED}


@pytest.mark.parametrize("ahead", [-SKEW, SKEW], ids=["behind", "ahead"])
async def test_a_dead_instance_blocks_nobody_whatever_its_clock_showed(ahead: timedelta) -> None:
    world = World()
    gatekeeper, watcher = skewed(world, ahead)
    gatekeeper.is_trusting = False
    after(LEAD_S - 1, lambda: setattr(gatekeeper, "is_dead", True))

    await run_for(PERIOD_S + 1, *world.start().loops, gatekeeper, watcher)

    assert world.desired[-1].active == ca(1)


@pytest.mark.parametrize("step", [-SKEW, SKEW], ids=["back", "forward"])
async def test_a_step_of_the_authoritys_clock_in_a_rotation_changes_no_order(
    step: timedelta,
) -> None:
    clock = SteppedClock()
    world = World(clock=clock)
    followers = skewed(world, timedelta(0))
    # In the lead: the successor is made, and not active yet.
    after(LEAD_S + 2, lambda: setattr(clock, "ahead", step))
    for follower in followers:
        after(LEAD_S + 2, partial(setattr, follower, "ahead", -step))

    await run_for(3 * PERIOD_S + 1, *world.start().loops, *followers)

    assert world.mint.made == [ca(n) for n in range(len(world.mint.made))]
    assert len(world.mint.made) >= 3
    assert world.proof.proven == world.mint.made[1 : len(world.proof.proven) + 1]
    versions = [state.version for state in world.desired]
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("step", [-SKEW, SKEW], ids=["back", "forward"])
@pytest.mark.parametrize("at_s", [LEAD_S + 0.05, PERIOD_S + 0.05], ids=["staged", "active"])
async def test_how_long_a_rotation_took_is_measured_by_a_clock_that_never_steps(
    step: timedelta, at_s: float
) -> None:
    clock = SteppedClock()
    world = World(clock=clock)
    followers = skewed(world, timedelta(0))
    after(at_s, lambda: setattr(clock, "ahead", step))
    for follower in followers:
        after(at_s, partial(setattr, follower, "ahead", -step))

    with capture_logs() as logs:
        await run_for(PERIOD_S + SKEW_S + 3, *world.start().loops, *followers)

    (rotated,) = [entry for entry in logs if entry["event"] == "ca.rotated"]
    assert 0 < rotated["elapsed_ms"] < 3000


async def test_a_live_instance_whose_clock_was_set_back_is_never_lost_sight_of() -> None:
    world = World()
    gatekeeper, watcher = skewed(world, timedelta(0))
    authority = world.start()
    await run_for(5, *authority.loops, gatekeeper, watcher)
    gatekeeper.boot, gatekeeper.ahead = "boot-2", -SKEW

    await run_for(SILENCE_S + 1, *authority.loops, gatekeeper, watcher)

    assert {s.boot_id for s in authority.fleet.heard().live} == {"boot-1", "boot-2"}


@pytest.mark.parametrize("ahead", [timedelta(0), SKEW], ids=["right", "ahead"])
async def test_who_falls_silent_is_live_for_three_heartbeats_and_no_longer(
    ahead: timedelta,
) -> None:
    world = World()
    authority = world.start()
    gatekeeper, _ = skewed(world, ahead)
    gatekeeper.register()
    await gatekeeper.report()

    async def is_live() -> bool:
        fleet = await authority.fleet.observe()
        assert fleet is not None
        return bool(fleet.live)

    assert await is_live()
    clock_s = world.clock.monotonic()
    while await is_live():
        await run_for(0.1)
    assert SILENCE_S <= world.clock.monotonic() - clock_s <= SILENCE_S + 0.3
    for _ in range(20):
        await run_for(1)
        assert not await is_live()


async def test_setting_the_clock_back_wakes_no_dead() -> None:
    clock = SteppedClock()
    world = World(clock=clock)
    authority = world.start()
    gatekeeper, _ = skewed(world, timedelta(0))
    gatekeeper.register()
    await gatekeeper.report()
    await authority.fleet.observe()
    await run_for(SILENCE_S + SKEW_S + 1)
    await authority.fleet.observe()

    clock.ahead = -SKEW
    fleet = await authority.fleet.observe()

    assert fleet is not None
    assert list(fleet.live) == []
