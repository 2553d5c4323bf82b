"""Many rotations under load, light clients beside them, and a look at everything in between."""

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from console.displays import Display
from console.load_run import LoadRun, new_order
from console.run_records import read_end_to_end_ms
from console.soak_outcome import RotationsOptions, RotationsOutcome, Sampling
from console.soak_refusals import RefusalLedger
from console.soak_survey import Survey
from console.soak_trends import trends
from console.stack_commands import restarts_of
from devstack.children import Program
from devstack.conditions import wait_until
from devstack.guests import LIGHT, SURVEYOR
from devstack.layout import Layout
from devstack.light_clients import LightOrder, read_counts
from devstack.openbao_api import open_openbao_api
from devstack.services import STAGE, python_environment
from devstack.stack import Stack, StackOptions, open_stack
from devstack.takedown import take_down
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.profiles import PROFILES, RotationProfile
from svc_core.domain.verdict import planned_ca_epochs
from svc_core.errors import SvcError

PROFILE: Final = "soak"
_STREAM_BYTES: Final = 32 << 20
"""So little that every stream is full, and all in it replaced once, before the tenth rotation: from
there on nothing may grow."""
_CONNECTED_WITHIN: Final = timedelta(seconds=60)
_STOP_WITHIN: Final = timedelta(seconds=5)
_PARTS: Final = 2
"""Processes that share the light clients: one alone would be busier than any service."""
_LEAST_NOTICE: Final = timedelta(seconds=1)
_SAMPLES: Final = "samples.jsonl"


async def soak_rotations(options: RotationsOptions, display: Display) -> RotationsOutcome:
    """Run the section in a stack of its own, which ends with it.

    Raises:
        ConfigError: it cannot start as asked.
        StackStartError: a part did not become ready, or the light clients did not connect.
    """
    await take_down(options.root, purge=True)
    (Layout.at(options.root).root / _SAMPLES).unlink(missing_ok=True)
    stack_options = StackOptions(
        options.root,
        PROFILE,
        base_port=options.base_port,
        stream_bytes=_STREAM_BYTES,
        guests=(LIGHT, SURVEYOR),
    )
    async with AsyncExitStack() as resources:
        stack = await resources.enter_async_context(open_stack(stack_options, display.note))
        api = await resources.enter_async_context(
            open_openbao_api(stack.endpoints.openbao.url, stack.layout.openbao_ca)
        )
        if options.clients:
            await _start_light_clients(stack, options.clients, display)
        section = _Section(options, stack, Survey(stack.layout, api), display)
        outcome = await section.carry_out()
        display.note("ending the stack")
        return outcome


class _Section:
    def __init__(
        self, options: RotationsOptions, stack: Stack, survey: Survey, display: Display
    ) -> None:
        self._options = options
        self._stack = stack
        self._survey = survey
        self._display = display
        self._profile = PROFILES[PROFILE]
        self._sampling = Sampling()

    async def carry_out(self) -> RotationsOutcome:
        layout = self._stack.layout
        ledger = RefusalLedger(layout)
        await ledger.begin()
        order = order_over(self._options.rotations, self._options.rate, self._profile)
        run = LoadRun(
            layout, self._profile, self._display, self._restarts, tick=self._profile.ca.period
        )
        async with asyncio.TaskGroup() as group:
            carrying = group.create_task(run.carry_out(order))
            group.create_task(self._sample(order))
        epochs = planned_ca_epochs(order, self._profile)
        times = await asyncio.to_thread(read_end_to_end_ms, layout)
        return RotationsOutcome(
            self._options,
            carrying.result(),
            {epoch: times[epoch] for epoch in epochs if epoch in times},
            read_counts(layout, _parts(self._options.clients)) if self._options.clients else None,
            await ledger.count(),
            self._sampling,
            trends(self._sampling.figures),
        )

    def _restarts(self) -> dict[str, int]:
        return restarts_of(self._stack)

    async def _sample(self, order: LoadOrder) -> None:
        """Look in the middle of every period, when a rotation is over and the next not begun."""
        starts = order.ends_at - self._profile.ca.period * (self._options.rotations - 0.5)
        for number, epoch in enumerate(planned_ca_epochs(order, self._profile)):
            due = starts + self._profile.ca.period * (number + 0.5)
            await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
            try:
                figures = await self._survey.take(_pids(self._stack))
            except SvcError as err:
                self._sampling.missed.append(f"epoch {epoch}: {err}")
                continue
            self._sampling.epochs.append(epoch)
            self._sampling.figures.append(figures)
            self._say(number + 1, epoch)

    def _say(self, number: int, epoch: int) -> None:
        took = read_end_to_end_ms(self._stack.layout).get(epoch)
        clients = self._options.clients
        light = read_counts(self._stack.layout, _parts(clients)) if clients else None
        parts = [
            f"rotation {number} of {self._options.rotations}",
            f"end to end {took:.0f} ms" if took is not None else "not complete",
        ]
        if light is not None:
            parts.append(f"{light.connected} of {light.count} light clients connected")
        self._display.note(", ".join(parts))
        _keep_sample(self._stack.layout, epoch, self._sampling.figures[-1])


def order_over(rotations: int, rate: float, profile: RotationProfile) -> LoadOrder:
    """Return a load that spans exactly so many boundaries and ends in the middle of a period."""
    order = new_order(PROFILE, rate=rate, lasting=profile.ca.period)
    starts_at, current = order.starts_at, profile.ca.current(order.starts_at)
    # A boundary that is almost here is not ours: its rotation has begun without load.
    first = profile.ca.starts(current.next())
    if first - starts_at < profile.ca.lead + _LEAST_NOTICE:
        starts_at, first = first + _LEAST_NOTICE, first + profile.ca.period
    ends_at = first + profile.ca.period * (rotations - 0.5)
    return LoadOrder(order.run_id, rate, starts_at, ends_at)


async def _start_light_clients(stack: Stack, count: int, display: Display) -> None:
    layout = stack.layout
    for part in range(1, _parts(count) + 1):
        share = count // _PARTS + (part <= count % _PARTS)
        stack.start(_light_program(layout, LightOrder(str(layout.root), share, part)))

    async def all_connected() -> bool:
        counts = read_counts(layout, _parts(count))
        return counts is not None and counts.connected == count

    await wait_until(all_connected, within=_CONNECTED_WITHIN, part="the light clients")
    display.note(f"{count} light clients are connected")


def _light_program(layout: Layout, order: LightOrder) -> Program:
    name = f"{LIGHT.name}-{order.part}"
    return Program(
        name=name,
        argv=(sys.executable, "-P", "-m", "devstack.light_clients", json.dumps(asdict(order))),
        log_file=layout.logs / f"{name}.out",
        structured_log=layout.log_of(LIGHT.name),
        directory=layout.service(LIGHT.name),
        environment=python_environment(),
        stage=STAGE + 1,
        stop_within=_STOP_WITHIN,
    )


def _parts(count: int) -> int:
    return min(_PARTS, count)


def _pids(stack: Stack) -> dict[str, int]:
    return {child.name: child.pid for child in stack.children if child.is_running}


def _keep_sample(layout: Layout, epoch: int, figures: Mapping[str, float]) -> None:
    line: dict[str, Any] = {"epoch": epoch, "figures": dict(figures)}
    with (layout.root / _SAMPLES).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
