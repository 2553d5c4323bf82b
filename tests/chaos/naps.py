"""Naps: who sleeps, how and for how many epochs, and when all is as it should be again."""

import asyncio
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

from devstack.layout import SERVICES
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA
from svc_core.domain.journal_records import RecordKind, instant_of
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.traffic import Traffic, count_traffic
from tests.chaos.rotation_story import Event, Story, at
from tests.chaos.short_profiles import BRIEF, SKEWED
from tests.chaos.timed_service import put_to_sleep, wake
from tests.e2e.loaded_stack import LoadedStack, records
from tests.e2e.waiting import until

EVERYTHING: Final = "everything"
RECOVERS_WITHIN: Final = timedelta(seconds=30)
_GIVEN_UP_AFTER_S: Final = 90.0
"""More than recovery may take, so that a failure says how long it took."""
_CLOCKS_APART: Final = 2 * SKEWED.skew
_LOOK_S: Final = 0.1


class How(Enum):
    """How somebody sleeps."""

    FROZEN = "frozen"
    """Stopped where it is, everything in memory: SIGSTOP."""
    ENDED = "ended"
    """Its process ends, and another one starts in the end: SIGTERM."""


@dataclass(frozen=True, slots=True)
class Nap:
    """One sleep."""

    who: str
    """A service, or `EVERYTHING`: OpenBao and NATS, too."""
    how: How
    epochs: int

    def __str__(self) -> str:
        return f"{self.who} {self.how.value} for {self.epochs} epochs"

    @property
    def lasts(self) -> timedelta:
        """How long, from the first moment to the return."""
        return self.epochs * BRIEF.ca.period

    async def take(self, stack: LoadedStack) -> datetime:
        """Have it slept, on a stack that runs on; return when it was over."""
        if self.how is How.ENDED:
            return await self._end(stack)
        everybody = [child.name for child in stack.stack.children]
        sleepers = everybody if self.who == EVERYTHING else [self.who]
        try:
            for name in sleepers:
                stack.stack.kill(name, signal.SIGSTOP)
            # What is tested is that so much time passes.
            await asyncio.sleep(self.lasts.total_seconds())
        finally:
            returned_at = datetime.now(UTC)
            for name in sleepers:
                stack.stack.kill(name, signal.SIGCONT)
        return returned_at

    async def _end(self, stack: LoadedStack) -> datetime:
        directory = stack.layout.service(self.who)
        await end_and_wait(stack, self.who)
        try:
            await asyncio.sleep(self.lasts.total_seconds())
        finally:
            returned_at = datetime.now(UTC)
            wake(directory)
        return returned_at


async def end_and_wait(stack: LoadedStack, service: str, number: int = signal.SIGTERM) -> None:
    """End a service, and wait until a new process of it stands ready to start."""
    before = stack.child(service).restarts
    put_to_sleep(stack.layout.service(service))
    stack.stack.kill(service, number)
    await until(
        lambda: stack.child(service).restarts > before, within_s=15, what=f"the end of {service}"
    )


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long after the return each thing was there again."""

    answered: timedelta
    """A request that was due after the return was verified, and its answer too."""
    handed_out: timedelta
    """Both ends had keys of the present epoch, handed out after the return."""
    rotated: timedelta
    """A whole rotation of the CA was complete."""
    ready: timedelta
    """Every service said that it is well."""

    @property
    def took(self) -> timedelta:
        """The longest of them."""
        return max(self.answered, self.handed_out, self.rotated, self.ready)

    def __str__(self) -> str:
        spans = {n: getattr(self, n) for n in ("answered", "handed_out", "rotated", "ready")}
        return ", ".join(f"{name} {span.total_seconds():.2f} s" for name, span in spans.items())


async def recovery(stack: LoadedStack, order: LoadOrder, returned_at: datetime) -> Recovery:
    """Wait until everything is as it should be and return how long each thing took."""
    answered_at = await first_answered(stack, order, since=returned_at)
    story = Story(stack, returned_at)
    epoch = BRIEF.keys.current(returned_at).number

    def is_of_now(event: Event) -> bool:
        return int(event["newest_epoch"]) >= epoch

    handed = [
        await story.saw(name, "bundle.adopted", within_s=_GIVEN_UP_AFTER_S, where=is_of_now)
        for name in (GATEKEEPER, AUTHCONTROLLER)
    ]
    rotated = await story.saw(METADATA, "ca.rotated", within_s=_GIVEN_UP_AFTER_S)
    await all_ready(stack)
    return Recovery(
        answered_at - returned_at,
        max(map(at, handed)) - returned_at,
        at(rotated) - returned_at,
        # Seen last, and perhaps true long before.
        max(datetime.now(UTC) - returned_at, timedelta(0)),
    )


async def all_ready(stack: LoadedStack) -> None:
    """Wait until every service says that it is well."""

    async def are_ready() -> bool:
        return all([await stack.stack.is_ready(name) for name in SERVICES])

    await until(are_ready, within_s=_GIVEN_UP_AFTER_S, what="every service ready")


async def first_answered(stack: LoadedStack, order: LoadOrder, *, since: datetime) -> datetime:
    """Wait for the first answer to a request of ``order`` that was sent after an instant."""
    found: list[datetime] = []

    def is_answered() -> bool:
        found.extend(_answered(stack, order, since=since))
        return bool(found)

    await until(is_answered, within_s=_GIVEN_UP_AFTER_S, what="an answer", every_s=_LOOK_S)
    return min(found)


def _answered(stack: LoadedStack, order: LoadOrder, *, since: datetime) -> Iterable[datetime]:
    sent: set[str] = set()
    for record in records(stack.layout, since=since):
        if record.kind is RecordKind.SENT and record.record_id.startswith(order.run_id):
            sent.add(record.record_id)
        elif record.kind is RecordKind.ANSWERED and record.record_id in sent:
            yield instant_of(record.at_ns)


async def settled(stack: LoadedStack, order: LoadOrder, *, may_lose: bool = False) -> Traffic:
    """Replace a load and count it, once everything of it was answered.

    With ``may_lose`` as much may stay unanswered as was refused for its age. What was refused may
    also be of an earlier load: who counts before the last answers are there takes them for it.
    """
    stack.order_load("standing", rate=order.rate)
    await until(
        lambda: stack.has_ended(order),
        within_s=_GIVEN_UP_AFTER_S,
        what=f"the end of {order.run_id}",
    )
    counts = [_traffic(stack, order)]

    def is_settled() -> bool:
        counts.append(_traffic(stack, order))
        if counts[-1].acked != counts[-2].acked or counts[-1].answered != counts[-2].answered:
            return False
        refused = sum(counts[-1].rejected.values()) if may_lose else 0
        return len(counts[-1].lost) <= refused

    await until(
        is_settled,
        within_s=_GIVEN_UP_AFTER_S,
        what=lambda: f"answers to {sorted(counts[-1].lost)[:5]}, refused {counts[-1].rejected}",
        every_s=1.0,
    )
    return counts[-1]


def _traffic(stack: LoadedStack, order: LoadOrder) -> Traffic:
    # What either end wrote down is of its own time.
    since = order.starts_at - _CLOCKS_APART
    return count_traffic(records(stack.layout, since=since), order=order)
