"""While an activation is held, leaves are shortened and never refused."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Final

from svc_core.domain.tls import TlsMaterial
from tests.authority import Authority, without_threads
from tests.builders import DEMO
from tests.fakes.clock import LoopClock
from tests.unit.svc_core.flows.test_ca_following import following

LIFE_S: Final = DEMO.ca.validity.total_seconds()
SKEW_S: Final = DEMO.skew.total_seconds()
"""Before its end an issuer is replaced whoever is silent."""
_LOOK_S: Final = 0.25


async def test_leaves_are_shortened_to_the_end_of_a_held_rotation_and_there_is_always_one() -> None:
    without_threads()
    authority = Authority(LoopClock())
    leaves: list[TlsMaterial] = []
    async with following(authority) as party:
        # The successor is trusted and somebody holds its activation, for a whole life.
        await authority.say(authority.state(2, 101, 100, active=100))
        party.follower.hinted.set()
        while asyncio.get_running_loop().time() < LIFE_S - SKEW_S:
            await asyncio.sleep(_LOOK_S)
            material = party.identity.material
            assert material is not None
            assert material.remaining(authority.clock.now()) > timedelta(0)
            assert party.connection.leaf_in_use == material.chain_pem
            if material not in leaves:
                leaves.append(material)

    lives = [leaf.not_after - leaf.issued_at for leaf in leaves]
    assert {leaf.issuer for leaf in leaves} == {"ca-100-1"}
    assert abs(lives[0] - DEMO.leaf_ttl) < timedelta(seconds=1)
    shortened = [life for life in lives if life < DEMO.leaf_ttl - timedelta(seconds=1)]
    assert len(shortened) >= 2
    assert all(later < sooner for sooner, later in pairwise(shortened))
