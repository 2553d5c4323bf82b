"""One load, carried through: ordered, watched, drained, its rotations waited for, and judged."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from console.displays import Display, Phase, Scene
from console.observation import observe
from console.run_records import Journals, read_completed_ca_epochs, read_rotations
from console.versions import collect_versions
from devstack.layout import Layout
from svc_core.adapters.files import write_private
from svc_core.adapters.system_entropy import system_entropy
from svc_core.domain import load_order
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.profiles import RotationProfile
from svc_core.domain.verdict import Circumstances, Verdict, judge, planned_ca_epochs
from svc_core.errors import ConfigError

_START_AFTER: Final = timedelta(milliseconds=500)
_TICK: Final = timedelta(seconds=1)
_DRAIN_WITHIN_S: Final = 20.0
_DRAIN_INTERVAL_S: Final = 0.5
_LEAST_PATIENCE: Final = timedelta(seconds=20)
_MOST_PATIENCE: Final = timedelta(minutes=2)

RestartCount = Callable[[], dict[str, int]]
"""Return how often each child was restarted so far."""


def new_order(name: str, *, rate: float, lasting: timedelta) -> LoadOrder:
    """Return an order that begins in a moment, with a run id nobody used before.

    Raises:
        ConfigError: nothing would be sent, or more than 10,000 requests per second.
    """
    starts_at = datetime.now(UTC) + _START_AFTER
    run_id = f"{name}-{starts_at:%Y%m%dT%H%M%S}-{system_entropy(3).hex()}"
    try:
        order = LoadOrder(run_id, rate, starts_at, starts_at + lasting)
    except ValueError as err:
        raise ConfigError(str(err)) from err
    if order.total == 0:
        raise ConfigError("the load would end before it begins")
    return order


def place_order(layout: Layout, order: LoadOrder | None) -> None:
    """Have Gatekeeper carry out ``order`` from now on, or nothing."""
    if order is None:
        layout.load_file.unlink(missing_ok=True)
    else:
        write_private(layout.load_file, load_order.encode(order).encode())


@dataclass(slots=True)
class LoadRun:
    """Carries one order through and judges it."""

    layout: Layout
    profile: RotationProfile
    display: Display
    restarts: RestartCount
    tick: timedelta = _TICK
    """How often the services are asked how they are while the load is on."""

    async def carry_out(self, order: LoadOrder) -> Verdict:
        """Order the load, wait for its end and for what it left open, and return the verdict."""
        versions = await collect_versions()
        restarts_before = sum(self.restarts().values())
        place_order(self.layout, order)
        try:
            await self._watch(order)
        except BaseException:
            place_order(self.layout, None)  # an interrupted run leaves no load behind
            raise
        journals = Journals(self.layout)
        await self._drain(journals, order)
        await self._await_rotations(order)
        traffic = await asyncio.to_thread(journals.read, order)
        rotations = await asyncio.to_thread(read_rotations, self.layout)
        circumstances = Circumstances(
            self.profile,
            versions,
            restarts=sum(self.restarts().values()) - restarts_before,
            damaged_lines=journals.damaged_lines,
        )
        return judge(traffic, rotations, order, circumstances)

    async def _watch(self, order: LoadOrder) -> None:
        while (left := (order.ends_at - datetime.now(UTC)).total_seconds()) > 0:
            share = 1 - left / (order.ends_at - order.starts_at).total_seconds()
            await self._show(Phase.LOAD, share)
            await asyncio.sleep(min(self.tick.total_seconds(), max(0.0, left)))

    async def _drain(self, journals: Journals, order: LoadOrder) -> None:
        """Wait until everything the broker acknowledged is answered, or for twenty seconds."""
        try:
            async with asyncio.timeout(_DRAIN_WITHIN_S):
                while (await asyncio.to_thread(journals.read, order)).lost:
                    await self._show(Phase.DRAIN, 1.0)
                    await asyncio.sleep(_DRAIN_INTERVAL_S)
        except TimeoutError:
            self.display.note("some answers are still missing")

    async def _await_rotations(self, order: LoadOrder) -> None:
        """Wait until the rotations that began under load are complete, within reason."""
        planned = frozenset(planned_ca_epochs(order, self.profile))
        patience = min(max(self.profile.ca.period, _LEAST_PATIENCE), _MOST_PATIENCE)
        try:
            async with asyncio.timeout(patience.total_seconds()):
                while planned - await asyncio.to_thread(read_completed_ca_epochs, self.layout):
                    await self._show(Phase.ROTATIONS, 1.0)
                    await asyncio.sleep(_DRAIN_INTERVAL_S)
        except TimeoutError:
            self.display.note("a planned CA rotation is still not complete")

    async def _show(self, phase: Phase, share: float) -> None:
        views = await observe(self.layout)
        self.display.show(Scene(phase, max(0.0, min(1.0, share)), views, self.restarts()))
