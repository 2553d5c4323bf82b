"""One rotation of a running stack as its logs tell it, and what an operator does meanwhile."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from _pytest.mark.structures import ParameterSet

from console.outlook import fetch_outlook
from devstack.layout import NODES, SERVICES
from svc_core.domain.identity import METADATA, WATCHER
from tests.chaos.selection import NOT_DRAWN, selected
from tests.e2e.commands import RunningCommand, command
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.waiting import until

Event = Mapping[str, Any]

FAULTS: Final = (
    *(
        f"{fault} server {when} it is active"
        for when in ("before", "after")
        for fault in ("frozen", "broken", "unreadable", "mismatched")
    ),
    *(f"{outage} OpenBao" for outage in ("slow", "erring", "forgetful", "killed", "sealed")),
    "no quorum",
    "taint",
    "silent instance",
)
"""Everything that can go wrong in a rotation here."""
SAMPLE: Final = 1
"""How many of them a run of the suite takes: each takes about a minute."""
PERIOD_S: Final = 30.0
RATE: Final = 50.0
"""Requests per second while things fail."""
GOES_ON_WITHIN: Final = timedelta(seconds=5)
"""From the return of who failed to the next step of the rotation."""
AWAY_S: Final = 8.0
"""How long something is away: longer than any one attempt, so that going on is what brings it."""
READY_WITHIN_S: Final = 30.0
_LOOK_S: Final = 0.1
_TAIL: Final = 1 << 18
"""Bytes at the end of a log: more than a few rotations write."""


def chosen(cases: Iterable[object]) -> list[ParameterSet]:
    """Return those of ``cases`` that are drawn, by the names they have in `FAULTS`."""
    names = {str(case): case for case in cases}
    assert set(names) <= set(FAULTS)
    drawn = [pytest.param(names[n], id=n) for n in selected(FAULTS, SAMPLE) if n in names]
    return drawn or [pytest.param(next(iter(names.values())), marks=NOT_DRAWN, id="not drawn")]


@dataclass(frozen=True, slots=True)
class Story:
    """What happens to a stack, from an instant on."""

    stack: LoadedStack
    since: datetime

    @classmethod
    def begin(cls, stack: LoadedStack) -> "Story":
        """Return the story from now on."""
        return cls(stack, datetime.now(UTC))

    def events(self, service: str, name: str) -> list[Event]:
        """Return every event called ``name`` that a service has logged since."""
        with self.stack.layout.log_of(service).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
            lines = log.read().decode(errors="replace").splitlines()[1:]
        found = (json.loads(line) for line in lines if f'"{name}"' in line)
        return [e for e in found if e["event"] == name and at(e) >= self.since]

    async def saw(
        self,
        service: str,
        name: str,
        *,
        within_s: float,
        where: Callable[[Event], bool] = lambda _: True,
        every_s: float = _LOOK_S,
    ) -> Event:
        """Wait for the first event called ``name`` for which ``where`` holds."""
        found: list[Event] = []

        def is_there() -> bool:
            found[:] = [e for e in self.events(service, name) if where(e)]
            return bool(found)

        await until(is_there, within_s=within_s, what=f"{name} of {service}", every_s=every_s)
        return found[0]

    async def verified(self, nodes: tuple[str, ...], active: str, *, within_s: float) -> datetime:
        """Wait until Watcher has verified ``nodes`` on ``active``; return when the last one was."""

        def is_last(event: Event) -> bool:
            seen = [e for e in self.events(WATCHER, "nats.reloaded") if e["active"] == active]
            return {e["server"] for e in seen if at(e) <= at(event)} >= set(nodes)

        return at(await self.saw(WATCHER, "nats.reloaded", within_s=within_s, where=is_last))

    async def outlook(self) -> Event:
        """Return what the authority tells an operator."""
        return await fetch_outlook(self.stack.layout)

    async def held_by(self, party: str, *, within_s: float) -> str:
        """Wait until the authority waits for no party before this one; servers come last."""
        said: list[str] = []

        async def is_said() -> bool:
            said.append(str((await self.outlook())["held"]).partition("by: ")[2])
            return said[-1].startswith(party)

        await until(is_said, within_s=within_s, what=lambda: f"waiting for {party}, not {said[-1]}")
        return said[-1]


def at(event: Event) -> datetime:
    """Return when an event was logged."""
    return datetime.fromisoformat(event["ts"])


def seconds(span: timedelta) -> str:
    """Return a span as a person reads it."""
    return f"{span.total_seconds():.2f} s"


@asynccontextmanager
async def ordering(stack: LoadedStack, notes: Path, *words: str) -> AsyncIterator[RunningCommand]:
    """Give an order and go on while it is carried out."""
    arguments = (*words, "--json", "--var", str(stack.layout.root))
    async with command("securetransport", *arguments, notes=notes) as running:
        yield running


async def ordered(stack: LoadedStack, notes: Path, *words: str) -> Event:
    """Give an order to its end and return what was printed; it must succeed."""
    async with ordering(stack, notes, *words) as running:
        code = await running.ended(within_s=60)
        printed: Event = json.loads(running.output.read_text() or "null")
        assert code == 0, (printed, running.errors.read_text())
        return printed


async def before_the_boundary(stack: LoadedStack) -> tuple[Story, Event]:
    """Wait until a successor is trusted by everybody and its boundary is still ahead."""
    while True:
        story = Story.begin(stack)
        trusted = await story.saw(METADATA, "issuer.trusted", within_s=2 * PERIOD_S)
        if next_boundary(at(trusted)) - datetime.now(UTC) > timedelta(seconds=2):
            return Story(stack, at(trusted)), trusted


async def after_a_boundary(stack: LoadedStack) -> Story:
    """Wait until nothing of the schedule is under way, and will not be for a while."""
    story = Story.begin(stack)

    async def is_resting() -> bool:
        left = next_boundary(datetime.now(UTC)) - datetime.now(UTC)
        is_early = left > timedelta(seconds=PERIOD_S / 3)
        phase = str((await story.outlook())["phase"])
        return is_early and phase.startswith("resting")

    await until(is_resting, within_s=4 * PERIOD_S, what="a rotation that is complete")
    return Story.begin(stack)


def next_boundary(now: datetime) -> datetime:
    """Return the next boundary of the profile ``demo``."""
    passed = now.timestamp() // PERIOD_S
    return datetime.fromtimestamp((passed + 1) * PERIOD_S, UTC)


async def calm(stack: LoadedStack, notes: Path) -> None:
    """Wait until everything is ready, nothing is fenced and one more rotation has completed."""

    async def all_ready() -> bool:
        return all([await stack.stack.is_ready(name) for name in SERVICES])

    await until(all_ready, within_s=READY_WITHIN_S, what="every service ready")
    story = Story.begin(stack)
    order = stack.order
    assert order is not None
    await stack.answers_again(order, after=story.since)

    async def none_is_fenced() -> bool:
        return not (await story.outlook())["fenced"]

    await until(none_is_fenced, within_s=READY_WITHIN_S, what="no fenced server")
    await ordered(stack, notes / "calm", "rotate", "ca")
    await story.saw(METADATA, "ca.rotated", within_s=PERIOD_S)


@asynccontextmanager
async def unharmed_load(stack: LoadedStack, run_id: str, notes: Path) -> AsyncIterator[None]:
    """Keep a load on meanwhile; once all is calm, nothing of it is lost, doubled or unasked."""
    order = stack.order_load(run_id, rate=RATE)
    await stack.answers_again(order, after=order.starts_at)
    yield
    await calm(stack, notes)
    await stack.conclude(order, rate=RATE)


def other_nodes(node: str) -> tuple[str, ...]:
    """Return the nodes that answer when ``node`` does not."""
    return tuple(name for name in NODES if name != node)


async def pause_until(moment: datetime) -> None:
    """Let time pass up to an instant of the schedule: nothing announces it."""
    await asyncio.sleep(max((moment - datetime.now(UTC)).total_seconds(), 0.0))
