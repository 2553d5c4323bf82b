"""Starts of a service in each state that an issuer goes through, and how soon it takes part."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from svc_core.domain.identity import GATEKEEPER, METADATA, ServiceName
from svc_core.domain.journal_records import RecordKind, instant_of
from svc_core.domain.load_order import LoadOrder
from tests.chaos.naps import end_and_wait
from tests.chaos.rotation_story import Story
from tests.chaos.short_profiles import BRIEF
from tests.chaos.timed_service import starts, wake
from tests.e2e.loaded_stack import LoadedStack, records
from tests.e2e.waiting import until

MOMENTS: Final = {
    "STAGED": "issuer.staged",
    "TRUSTED": "issuer.trusted",
    "ACTIVE, its predecessor DRAINING": "issuer.activated",
    "ACTIVE, its predecessor DRAINED": "issuer.drained",
    "RETIRED": "issuer.retired",
}
"""What the authority logs when an issuer comes into a state."""
_COMES_WITHIN_S: Final = 4 * BRIEF.ca.period.total_seconds()
_STARTS_WITHIN_S: Final = 30.0
_LOOK_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Took:
    """How long one start took."""

    since_began: timedelta
    """From the start of the interpreter to the first message of it that was verified."""
    since_loaded: timedelta
    """The same from when its modules were there."""

    def __str__(self) -> str:
        loaded, began = self.since_loaded.total_seconds(), self.since_began.total_seconds()
        return f"{loaded:.2f} s after it was loaded, {began:.2f} s after its interpreter started"


@dataclass(frozen=True, slots=True)
class Beginning:
    """A service that starts at the moment when an issuer comes into a state."""

    service: ServiceName
    moment: str

    def __str__(self) -> str:
        return f"{self.service} started with an issuer {self.moment}"

    async def take(self, stack: LoadedStack, order: LoadOrder) -> Took:
        """Start it then, and return how soon its first message was verified at the other end."""
        directory = stack.layout.service(self.service)
        before = len(starts(directory))
        await end_and_wait(stack, self.service)
        try:
            story = Story.begin(stack)
            await story.saw(
                METADATA, MOMENTS[self.moment], within_s=_COMES_WITHIN_S, every_s=_LOOK_S
            )
        finally:
            wake(directory)
        found: list[datetime] = []

        def is_verified() -> bool:
            fresh = starts(directory)[before:]
            if fresh:
                found.extend(self._verified(stack, order, since=fresh[0].loaded_at))
            return bool(found)

        await until(is_verified, within_s=_STARTS_WITHIN_S, what=f"{self}: its first message")
        start, verified_at = starts(directory)[before], min(found)
        return Took(verified_at - start.began_at, verified_at - start.loaded_at)

    def _verified(
        self, stack: LoadedStack, order: LoadOrder, *, since: datetime
    ) -> Iterator[datetime]:
        """Yield when messages that the service made after an instant were verified."""
        is_asker = self.service == GATEKEEPER
        made, seen = (
            (RecordKind.SENT, RecordKind.HANDLED)
            if is_asker
            else (RecordKind.HANDLED, RecordKind.ANSWERED)
        )
        own = list(records(stack.layout, since=since))
        ids = {r.record_id for r in own if r.kind is made}
        for record in own:
            is_of_order = record.record_id.startswith(order.run_id)
            if record.kind is seen and is_of_order and record.record_id in ids:
                yield instant_of(record.at_ns)
