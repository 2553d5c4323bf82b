"""Metadata, one service or everything sleeps through epochs: all recovers by itself, and soon.

Time cannot be made to pass faster for OpenBao and NATS, so it really passes: the profile is the
shortest that there can be. A run of the suite takes one nap of one epoch, or one start
(`tests.chaos.timing_cases`); ``CHAOS_ALL=1`` takes all of them, fifty minutes.
"""

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from svc_core.domain.identity import METADATA
from tests.chaos.naps import RECOVERS_WITHIN, Nap, all_ready, end_and_wait, recovery, settled
from tests.chaos.rotation_story import Story
from tests.chaos.short_stack import RATE, open_short_stack
from tests.chaos.starts import Beginning, Took
from tests.chaos.timed_service import wake
from tests.chaos.timing_cases import AT_AN_ACTIVATION, BEGINNINGS, ENDED, FROZEN, OVERNIGHT, drawn
from tests.e2e.loaded_stack import LoadedStack, check_unharmed, open_root

REMEMBERED: Final = 3
"""Epochs after which all that was sent before can still be opened."""
START_RATE: Final = 50.0
"""Requests per second, so that waiting for the next one does not count for much."""
_COMES_WITHIN_S: Final = 30.0
STARTS: Final = 3
"""Most attempts at one start."""
VERIFIED_WITHIN: Final = timedelta(seconds=2)
"""From when a service's process is loaded to its first message that the other end has verified."""


@pytest.mark.chaos
@pytest.mark.timeout(720)
@pytest.mark.parametrize("nap", drawn([*FROZEN, *ENDED]))
async def test_after_a_sleep_everything_goes_on_by_itself(
    brief_stack: LoadedStack, nap: Nap
) -> None:
    stack = brief_stack
    order = stack.order_load("nap", rate=RATE)
    await all_ready(stack)
    await stack.answers_again(order, after=order.starts_at)

    returned_at = await nap.take(stack)
    took = await recovery(stack, order, returned_at)
    traffic = await settled(stack, order, may_lose=nap.epochs > REMEMBERED)

    print(f"{nap}: {took}; refused {dict(traffic.rejected)}")  # noqa: T201
    assert took.took <= RECOVERS_WITHIN
    assert not traffic.duplicated
    assert not traffic.unasked
    assert nap.epochs > REMEMBERED or not traffic.lost


@pytest.mark.chaos
@pytest.mark.timeout(720)
@pytest.mark.parametrize("nap", drawn(OVERNIGHT))
async def test_what_was_ended_as_a_whole_goes_on_when_it_is_started_later(nap: Nap) -> None:
    with open_root() as root:
        with open_short_stack(root / "var") as stack:
            order = stack.order_load("nap", rate=RATE)
            await stack.answers_again(order, after=order.starts_at)

        await asyncio.sleep(nap.lasts.total_seconds())
        returned_at = datetime.now(UTC)
        with open_short_stack(root / "var") as stack:
            order = stack.order_load("again", rate=RATE)
            took = await recovery(stack, order, returned_at)
            traffic = await settled(stack, order)

    print(f"{nap}: {took}; refused {dict(traffic.rejected)}")  # noqa: T201
    assert took.took <= RECOVERS_WITHIN
    check_unharmed(traffic)


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.parametrize("nap", drawn(AT_AN_ACTIVATION))
async def test_a_watcher_that_is_away_from_an_activation_on_undoes_nothing_when_it_is_back(
    brief_stack: LoadedStack, nap: Nap
) -> None:
    stack = brief_stack
    order = stack.order_load("nap", rate=RATE)
    await all_ready(stack)

    while True:
        story = Story.begin(stack)
        await story.saw(METADATA, "issuer.activated", within_s=_COMES_WITHIN_S, every_s=0.01)
        await end_and_wait(stack, nap.who, signal.SIGKILL)
        # The time that connections have to move is over by then.
        await asyncio.sleep(nap.lasts.total_seconds())
        has_drained = bool(story.events(METADATA, "issuer.drained"))
        returned_at = datetime.now(UTC)
        wake(stack.layout.service(nap.who))
        took = await recovery(stack, order, returned_at)
        if not has_drained:
            break
    traffic = await settled(stack, order)

    print(f"{nap}, from an activation on: {took}")  # noqa: T201
    assert not story.events(METADATA, "issuer.went_back")
    assert took.took <= RECOVERS_WITHIN
    check_unharmed(traffic)


@pytest.mark.chaos
@pytest.mark.timeout(120)
@pytest.mark.parametrize("beginning", drawn(BEGINNINGS))
async def test_a_service_started_in_any_state_of_an_issuer_takes_part_at_once(
    brief_stack: LoadedStack, beginning: Beginning
) -> None:
    stack = brief_stack
    order = stack.order_load("start", rate=START_RATE)
    await all_ready(stack)
    await stack.answers_again(order, after=order.starts_at)

    # What else runs on this machine can only make it slower, so the best of a few counts.
    took: list[Took] = []
    while len(took) < STARTS and not is_soon(took):
        took.append(await beginning.take(stack, order))
    traffic = await settled(stack, order)

    print(f"{beginning}: {'; '.join(map(str, took))}")  # noqa: T201
    assert is_soon(took)
    check_unharmed(traffic)


def is_soon(took: list[Took]) -> bool:
    """Say whether one start was as quick as each must be."""
    return any(one.since_loaded <= VERIFIED_WITHIN for one in took)
