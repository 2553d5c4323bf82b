"""Services die at labelled points of what they do: everything converges, and nobody notices.

A run of the suite strikes one wave of six points, drawn by ``CHAOS_SEED``; ``CHAOS_ALL=1`` strikes
at every point there is, once, twice and while it recovers. That needs a machine on which a service
starts within seconds: keys live 80 s here, and who is dead for longer cannot open what was sealed.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from devstack.layout import SERVICES
from services.metadata.domain.key_generations import KeyGeneration
from svc_core.domain.identity import METADATA
from svc_core.domain.journal_records import RecordKind
from svc_core.domain.load_order import LoadOrder
from tests.chaos.killed_service import run_service
from tests.chaos.selection import ALL, SEED
from tests.chaos.stored_keys import changes, fetch_generations, fetch_served, strangers
from tests.chaos.trap import Strike, arm, disarm, outstanding, strikes
from tests.chaos.verdicts import as_metadata, history_of, log_fault, read_log, surplus_issuers
from tests.chaos.waves import Wave, all_waves, sampled_wave
from tests.e2e.loaded_stack import LoadedStack, open_loaded_stack, records
from tests.e2e.waiting import until

RATE: Final = 20.0
"""Light enough that a service which has just started keeps up on a busy machine."""
LONGEST_PAUSE_S: Final = 0.5
STRIKES_WITHIN_S: Final = 420.0
READY_WITHIN_S: Final = 40.0
WAVES: Final = all_waves() if ALL else [sampled_wave(SEED)]


@pytest.fixture(scope="module")
def stack() -> Iterator[LoadedStack]:
    with open_loaded_stack(run=run_service, longest_pause_s=LONGEST_PAUSE_S) as loaded:
        yield loaded


@pytest.mark.chaos
@pytest.mark.timeout(720)
@pytest.mark.parametrize("wave", WAVES, ids=lambda wave: wave.name)
async def test_killed_at_these_points_nothing_is_lost_doubled_or_made_anew(
    stack: LoadedStack, wave: Wave, tmp_path: Path
) -> None:
    order = stack.order_load("crash", rate=RATE)
    await stack.answers_again(order, after=order.starts_at)
    restarts = {child.name: child.restarts for child in stack.stack.children}
    crashes = Crashes(stack, wave, tmp_path)
    await crashes.compare_keys()

    struck = await crashes.strike()
    await recover(stack, order, since=max(strike.at for strike in struck))
    await crashes.compare_keys()
    # Before the answers are waited for: what was refused is never answered.
    assert refusals(stack, order) == []
    await stack.conclude(order, rate=RATE)

    assert crashes.changed_keys == []
    assert sorted(strike.label for strike in struck) == sorted(wave.labels)
    died = {child.name: child.restarts - restarts[child.name] for child in stack.stack.children}
    assert died == {name: len(crashes.of(name)) for name in died}
    await check_what_is_stored(stack)


class Crashes:
    """Carries one wave out and watches what is stored meanwhile."""

    def __init__(self, stack: LoadedStack, wave: Wave, folder: Path) -> None:
        self._stack = stack
        self._wave = wave
        self._folder = folder
        self._before: dict[str, int] = {name: len(self._strikes(name)) for name in SERVICES}
        self._seen = 0
        self._keys: dict[int, KeyGeneration] = {}
        self.changed_keys: list[str] = []

    def of(self, child: str) -> list[Strike]:
        """Return the strikes of this wave on one child."""
        return self._strikes(child)[self._before[child] :] if child in self._before else []

    async def strike(self) -> list[Strike]:
        """Order the strikes, wait until all have happened and return them."""
        directories = {name: self._stack.layout.service(name) for name in self._wave.orders}
        for name, lanes in self._wave.orders.items():
            arm(directories[name], lanes)
        try:
            await until(
                self._is_over,
                within_s=STRIKES_WITHIN_S,
                what=lambda: f"{[x for d in directories.values() for x in outstanding(d)]}",
            )
        finally:
            for directory in directories.values():
                disarm(directory)
        return [strike for name in SERVICES for strike in self.of(name)]

    async def _is_over(self) -> bool:
        killed = len(self.of(METADATA))
        if killed != self._seen:
            # Also at the moment of its death, when what it was about to store may be there or not.
            self._seen = killed
            await self._compare_stored()
        return not any(outstanding(self._stack.layout.service(name)) for name in SERVICES)

    async def compare_keys(self) -> None:
        """Compare what is stored with what was stored before, and what is served with both."""
        served = await fetch_served(self._stack, self._folder)
        await self._compare_stored()
        self.changed_keys += strangers(served, self._keys)

    async def _compare_stored(self) -> None:
        now = await fetch_generations(self._stack.layout)
        self.changed_keys += changes(self._keys, now)
        self._keys |= now

    def _strikes(self, name: str) -> list[Strike]:
        return strikes(self._stack.layout.service(name))


async def recover(stack: LoadedStack, order: LoadOrder, *, since: datetime) -> None:
    """Wait until everything is ready, has rotated after ``since``, and answers."""

    async def all_ready() -> bool:
        return all([await stack.stack.is_ready(name) for name in SERVICES])

    await until(all_ready, within_s=READY_WITHIN_S, what="every service ready")
    await stack.next_rotation(since=since)
    await until(all_ready, within_s=READY_WITHIN_S, what="every service ready after a rotation")
    await stack.answers_again(order, after=datetime.now(UTC))


def refusals(stack: LoadedStack, order: LoadOrder) -> list[str]:
    """Return what either end refused for good since the load began, with the codes."""
    return [
        f"{record.record_id} {record.extra}"
        for record in records(stack.layout, since=order.starts_at)
        if record.kind is RecordKind.REJECTED
    ]


async def check_what_is_stored(stack: LoadedStack) -> None:
    """Check the audit log, the states that the issuers went through, and how many there are."""
    assert await log_fault(stack.layout) is None
    history = history_of(await read_log(stack.layout))
    assert history.illegal == []
    assert len(set(history.activated)) == len(history.activated)
    epochs = [int(name.split("-")[1]) for name in history.activated]
    assert epochs == sorted(epochs)
    async with as_metadata(stack.layout) as api:
        surplus = await surplus_issuers(api)
    assert max(surplus.values(), default=0) <= 1, surplus
