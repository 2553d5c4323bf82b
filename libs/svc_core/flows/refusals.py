"""What happens to a message that was refused for good: journal, dead letter, counter."""

from typing import Final

import structlog

from svc_core.domain.identity import ServiceName
from svc_core.domain.journal_records import JournalRecord, RecordKind, unix_ns
from svc_core.domain.subjects import dead_letters
from svc_core.errors import SvcError
from svc_core.ports.bus import Bus, Delivery
from svc_core.ports.journal import Journal
from svc_core.ports.time import Clock
from svc_core.runtime.traffic_metrics import TrafficMetrics
from svc_core.wire import dead_letter
from svc_core.wire.dead_letter import DeadLetter

log = structlog.get_logger()

UNCLASSIFIED: Final = "internal.unclassified"


class Refusals:
    """The reject callback of one service's consumer of one stream."""

    def __init__(
        self,
        service: ServiceName,
        stream: str,
        bus: Bus,
        journal: Journal,
        clock: Clock,
        metrics: TrafficMetrics,
    ) -> None:
        self._service = service
        self._stream = stream
        self._bus = bus
        self._journal = journal
        self._clock = clock
        self._metrics = metrics

    async def __call__(self, delivery: Delivery, error: Exception) -> None:
        """Publish the dead letter, then journal and count it; repeating this stores one letter."""
        code = error.code if isinstance(error, SvcError) else UNCLASSIFIED
        place = f"{self._stream}#{delivery.sequence}"
        letter = DeadLetter(
            code, self._stream, delivery.subject, delivery.sequence, delivery.payload
        )
        await self._bus.publish(
            dead_letters(self._service),
            dead_letter.encode(letter),
            message_id=f"{self._service}:{place}",
        )
        now = unix_ns(self._clock.now())
        self._journal.append(JournalRecord(RecordKind.REJECTED, now, place, code))
        self._metrics.rejected(code)
        log.warning("message.refused", code=code, place=place, reason=str(error))
