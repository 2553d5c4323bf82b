"""Every part is killed under load: it comes back, nothing is lost, and rotation goes on."""

import signal
from datetime import UTC, datetime
from typing import Final

import pytest

from devstack.layout import SERVICES
from svc_core.domain.load_order import LoadOrder
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.waiting import until

WAVES: Final = (("metadata", "gatekeeper", "n1"), ("watcher", "authcontroller"))
"""Killed one after the other between two rotations: each wave must be followed by one."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("victims", WAVES, ids="-".join)
async def test_after_a_sigkill_nothing_is_lost_or_doubled_and_the_ca_rotates(
    stack: LoadedStack, victims: tuple[str, ...]
) -> None:
    order = stack.order_load("kills")
    await stack.answers_again(order, after=order.starts_at)

    killed = [await kill(stack, order, victim) for victim in victims]
    rotation = await stack.next_rotation(since=max(killed))
    await stack.answers_again(order, after=rotation.boundary_at)
    stack.order_load("standing")
    traffic = await stack.account(order)

    assert not traffic.lost
    assert not traffic.duplicated
    assert not traffic.unasked
    assert len(traffic.acked) > 10 * len(victims)
    assert all(child.is_running for child in stack.stack.children)


async def kill(stack: LoadedStack, order: LoadOrder, victim: str) -> datetime:
    """Kill one child and wait until it and the traffic are back; return when it was killed."""
    before = stack.child(victim)
    stack.stack.kill(victim, signal.SIGKILL)
    killed_at = datetime.now(UTC)

    def is_back() -> bool:
        now = stack.child(victim)
        return now.restarts == before.restarts + 1 and now.is_running

    await until(is_back, within_s=10, what=f"{victim} running again")
    assert stack.child(victim).last_exit == -signal.SIGKILL
    if victim in SERVICES:
        await until(lambda: stack.stack.is_ready(victim), within_s=20, what=f"{victim} ready again")
    await stack.answers_again(order, after=datetime.now(UTC))
    return killed_at
