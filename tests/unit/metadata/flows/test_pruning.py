"""An issuer is deleted at the latest one period after its end, key and all, whoever is silent."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import pytest

from services.metadata.domain.ca_recovery import MOST_TRUSTED
from svc_core.runtime.supervision import Loop
from tests.builders import DEMO
from tests.unit.metadata.world import Follower, World, make_followers, run_for

PERIOD_S: Final = DEMO.ca.period.total_seconds()
LIFE_S: Final = DEMO.ca.validity.total_seconds()
GRACE: Final = DEMO.ca.period
"""Time in which servers may take note that it is not to be trusted any more."""
A_MOMENT: Final = timedelta(seconds=2)


@dataclass
class Looking:
    """A loop that looks every second at what OpenBao has."""

    world: World
    ends: dict[str, datetime] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    most: int = 0
    name: Final = "looking"

    async def run(self) -> None:
        while True:
            now, names = self.world.clock.now(), self.world.mint.names
            for issuer in (await self.world.journal()).issuers:
                if issuer.not_after is not None:
                    self.ends[issuer.name] = issuer.not_after
            self.most = max(self.most, len(names))
            self.late += [n for n in names if n in self.ends and now > self.due(n)]
            await asyncio.sleep(1)

    def due(self, name: str) -> datetime:
        return self.ends[name] + GRACE + A_MOMENT


def nobody(_: World) -> list[Follower]:
    return []


def one_that_never_moves(world: World) -> list[Follower]:
    gatekeeper, watcher = make_followers(world)
    gatekeeper.is_moving = False
    return [gatekeeper, watcher]


def servers_that_never_follow(world: World) -> list[Follower]:
    gatekeeper, watcher = make_followers(world)
    watcher.stuck_at = 2
    return [gatekeeper, watcher]


@pytest.mark.parametrize("those", [nobody, one_that_never_moves, servers_that_never_follow])
async def test_whoever_is_silent_an_issuer_is_deleted_one_period_after_its_end(
    those: Callable[[World], list[Follower]],
) -> None:
    world = World()
    looking = Looking(world)
    loops: list[Loop] = [world.start().rotator, *those(world), looking]

    await run_for(LIFE_S + 1.5 * PERIOD_S, *loops)

    over = [name for name, end in looking.ends.items() if world.clock.now() > looking.due(name)]
    assert over
    assert not set(over) & world.mint.names
    assert looking.late == []
    assert looking.most <= MOST_TRUSTED + 1
    assert world.mint.names <= {issuer.name for issuer in (await world.journal()).issuers}
