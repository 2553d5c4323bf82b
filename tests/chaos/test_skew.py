"""Clocks a quarter of a period apart, or set in the middle of a rotation: nobody notices.

``CHAOS_ALL=1`` takes them, eleven minutes; a run of the suite takes none. The rules are there
in virtual time (`tests/unit/metadata/flows/test_skewed_fleet.py` and beside it).

OpenBao and NATS keep this machine's time. Each service in turn is ahead of or behind all others,
and then all services are, which is the same as OpenBao and NATS being behind or ahead of them. What
OpenSSL makes of it is seen where libfaketime is installed (`tests.chaos.timed_service`).
"""

from datetime import UTC, datetime

import pytest

from tests.chaos.naps import all_ready, end_and_wait
from tests.chaos.short_profiles import SKEWED
from tests.chaos.skews import (
    Skew,
    head_starts,
    in_the_middle,
    rotated,
    shown_ahead,
    unnoticed,
)
from tests.chaos.timed_service import wake
from tests.chaos.timing_cases import SKEWS, drawn
from tests.e2e.loaded_stack import LoadedStack


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.parametrize("skew", drawn([skew for skew in SKEWS if not skew.is_step]))
async def test_who_starts_with_a_wrong_clock_follows_and_is_understood(
    skewed_stack: LoadedStack, skew: Skew
) -> None:
    stack = skewed_stack
    async with unnoticed(stack, str(skew)) as story:
        for name in skew.who:
            await end_and_wait(stack, name)
        with skew.applied(stack):
            for name in skew.who:
                wake(stack.layout.service(name))
            await all_ready(stack)
            await rotated(story, since=datetime.now(UTC))
            for name in skew.who:
                assert abs(await shown_ahead(story, name) - skew.ahead) < SKEWED.skew / 2
            # Else whoever's clock is behind would not take a fresh one for valid.
            assert min(head_starts(stack).values()) >= SKEWED.skew


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.parametrize("skew", drawn([skew for skew in SKEWS if skew.is_step]))
async def test_clocks_that_are_set_in_the_middle_of_a_rotation_change_nothing(
    skewed_stack: LoadedStack, skew: Skew
) -> None:
    stack = skewed_stack
    async with unnoticed(stack, str(skew)) as story:
        await in_the_middle(story)
        with skew.applied(stack):
            await rotated(story, since=datetime.now(UTC))
            await in_the_middle(story)
