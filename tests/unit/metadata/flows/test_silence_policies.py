"""Who is live and silent holds an activation, visibly, to a deadline; then the policy decides."""

import pytest

from services.metadata.domain.ca_rotation import SilencePolicy, hold_deadline
from services.metadata.domain.issuers import IssuerState
from services.metadata.flows import rotation_metrics
from tests.builders import DEMO, NOW
from tests.unit.metadata.journals import ca
from tests.unit.metadata.world import Authority, World, make_followers, run_for

PERIOD_S = DEMO.ca.period.total_seconds()
LEAD_S = PERIOD_S - DEMO.ca.lead.total_seconds()
LIFE_S = DEMO.ca.validity.total_seconds()
DEADLINE_S = (hold_deadline(NOW + DEMO.ca.validity, DEMO) - NOW).total_seconds()
MARGIN_S = 1.0


class Held:
    """A world in which one of two instances never takes over the successor."""

    def __init__(self, policy: SilencePolicy) -> None:
        self.world = World()
        self.authority: Authority = self.world.start(when_silent=policy)
        self.gatekeeper, watcher = make_followers(self.world)
        self.loops = (*self.authority.loops, self.gatekeeper, watcher)

    async def begin(self) -> None:
        """Run to the moment before the successor is made, and have the instance fall behind."""
        await run_for(LEAD_S - 1, *self.loops)
        self.gatekeeper.is_trusting = False

    async def run_to(self, seconds: float) -> None:
        """Run until that long after the first issuer was made, which is when all began."""
        await run_for(seconds - self.world.clock.monotonic(), *self.loops)

    @property
    def is_held(self) -> bool:
        """Whether it shows in what the alert asks for."""
        return self.authority.count(rotation_metrics.HELD) == 1

    async def state_of(self, name: str) -> IssuerState:
        return (await self.world.states())[name]


@pytest.mark.parametrize("policy", SilencePolicy)
async def test_until_the_deadline_it_holds_and_the_alert_has_its_metric(
    policy: SilencePolicy,
) -> None:
    held = Held(policy)
    await held.begin()

    await held.run_to(DEADLINE_S - MARGIN_S)

    assert held.is_held
    assert held.authority.rotator.held == f"{ca(1)} is not trusted yet by: gatekeeper/g1"
    assert await held.state_of(ca()) is IssuerState.ACTIVE


async def test_then_a_quorum_goes_on_with_proof_and_without_who_is_silent() -> None:
    held = Held(SilencePolicy.QUORUM)
    await held.begin()

    await held.run_to(DEADLINE_S + MARGIN_S)

    assert held.world.desired[-1].active == ca(1)
    assert held.world.proof.proven == [ca(1)]


async def test_or_it_waits_to_within_the_skew_of_the_end_and_no_longer() -> None:
    held = Held(SilencePolicy.WAIT)
    await held.begin()
    end_s = LIFE_S - DEMO.skew.total_seconds()

    await held.run_to(end_s - MARGIN_S)
    assert held.is_held
    assert held.world.desired[-1].active == ca()

    await held.run_to(end_s + MARGIN_S)
    assert held.world.desired[-1].active != ca()


async def test_who_comes_right_before_the_deadline_is_not_cut() -> None:
    held = Held(SilencePolicy.QUORUM)
    await held.begin()
    await held.run_to(DEADLINE_S - 5)

    held.gatekeeper.is_trusting = True
    await held.run_to(DEADLINE_S - 2)

    assert not held.is_held
    # A boundary has passed meanwhile, so that the one after it follows at once.
    assert held.world.proof.proven == [ca(1), ca(2)]
    assert {state.cut_leaves for state in held.world.desired} == {()}
