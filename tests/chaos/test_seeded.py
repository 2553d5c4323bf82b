"""Kills and freezes from a seed: afterwards nothing is lost and nothing is doubled."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from random import Random
from typing import Final

import pytest

from devstack.layout import NODES, SERVICES
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.traffic import Traffic
from tests.chaos.selection import ALL, SEED
from tests.e2e.loaded_stack import LoadedStack, open_loaded_stack
from tests.e2e.waiting import until

LASTS_S: Final = 60.0 if ALL else 40.0
SHORTEST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 3.0
LONGEST_FREEZE_S: Final = 4.0
CONVERGES_WITHIN_S: Final = 60.0
VICTIMS: Final = ("openbao", *NODES, *SERVICES)


class Fault(Enum):
    """What is done to a child."""

    KILL = "SIGKILL"
    FREEZE = "SIGSTOP, then SIGCONT"


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault of the schedule; times in seconds."""

    pause_s: float
    """Time since the strike before."""
    victim: str
    fault: Fault
    freeze_s: float

    def __str__(self) -> str:
        lasting = f" for {self.freeze_s:.1f} s" if self.fault is Fault.FREEZE else ""
        return f"+{self.pause_s:.1f} s {self.victim} {self.fault.value}{lasting}"


def schedule(seed: int) -> list[Strike]:
    """Return the same strikes for the same seed; every child is hit at least once."""
    random = Random(seed)  # noqa: S311 (a schedule that repeats, not a secret)
    strikes: list[Strike] = []
    victims = list(VICTIMS)
    random.shuffle(victims)
    total_s = 0.0
    while total_s < LASTS_S:
        strikes.append(
            Strike(
                random.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S),
                victims.pop() if victims else random.choice(VICTIMS),
                random.choice(list(Fault)),
                random.uniform(SHORTEST_PAUSE_S, LONGEST_FREEZE_S),
            )
        )
        total_s += strikes[-1].pause_s
    return strikes


@pytest.fixture
def stack() -> Iterator[LoadedStack]:
    with open_loaded_stack() as loaded:
        yield loaded


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_after_faults_one_upon_the_other_everything_converges(stack: LoadedStack) -> None:
    strikes = schedule(SEED)
    story = f"CHAOS_SEED={SEED}: " + "; ".join(map(str, strikes))
    order = stack.order_load("chaos")
    await stack.answers_again(order, after=order.starts_at)
    restarts = {child.name: child.restarts for child in stack.stack.children}

    await strike_all(stack, strikes)
    calm_since = datetime.now(UTC)
    traffic = await converge(stack, order, story, calm_since)

    assert not traffic.lost, story
    assert not traffic.duplicated, story
    assert not traffic.unasked, story
    assert traffic.acked, story
    killed = {s.victim for s in strikes if s.fault is Fault.KILL}
    now = {child.name: child.restarts for child in stack.stack.children}
    assert {name for name in killed if now[name] == restarts[name]} == set(), story


async def strike_all(stack: LoadedStack, strikes: list[Strike]) -> None:
    """Carry the schedule out; whatever was frozen runs again at the end."""
    quorum = asyncio.Lock()
    async with asyncio.TaskGroup() as group:
        for strike in strikes:
            # The schedule is what is tested: this waits for its time, not for anything else.
            await asyncio.sleep(strike.pause_s)
            group.create_task(carry_out(stack, strike, quorum))


async def carry_out(stack: LoadedStack, strike: Strike, quorum: asyncio.Lock) -> None:
    """Do one strike, and wait until its victim runs again."""
    async with one_node_at_a_time(strike, quorum):
        if strike.fault is Fault.KILL:
            before = stack.child(strike.victim).restarts
            stack.stack.kill(strike.victim, signal.SIGKILL)
            await until(
                lambda: stack.child(strike.victim).restarts > before,
                within_s=15,
                what=f"{strike.victim} running again",
            )
            return
        stack.stack.kill(strike.victim, signal.SIGSTOP)
        try:
            await asyncio.sleep(strike.freeze_s)
        finally:
            stack.stack.kill(strike.victim, signal.SIGCONT)


@asynccontextmanager
async def one_node_at_a_time(strike: Strike, quorum: asyncio.Lock) -> AsyncIterator[None]:
    """Let a strike on a NATS node wait for the one before: three replicas outlive one death."""
    if strike.victim not in NODES:
        yield
        return
    async with quorum:
        yield


async def converge(
    stack: LoadedStack, order: LoadOrder, story: str, calm_since: datetime
) -> Traffic:
    """Wait until everything is ready, answers, has rotated and has caught up; count the load."""

    async def all_ready() -> bool:
        return all([await stack.stack.is_ready(name) for name in SERVICES])

    await until(all_ready, within_s=CONVERGES_WITHIN_S, what=f"every service ready ({story})")
    await stack.answers_again(order, after=datetime.now(UTC))
    await stack.next_rotation(since=calm_since)
    stack.order_load("standing")
    return await stack.account(order)
