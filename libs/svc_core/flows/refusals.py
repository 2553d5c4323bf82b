"""What happens to a message that was refused for good: dead letter, journal, counter.

The letter comes first. While it cannot be stored (NATS is away, or the stream is full, which takes
no new letter rather than lose an old one) this raises, the message goes back to its stream, and
nothing says that it was refused.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from svc_core.domain.identity import InstanceName, ServiceName
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


@dataclass(frozen=True, slots=True)
class Refuser:
    """Who refuses."""

    service: ServiceName
    instance: InstanceName


class Refusals:
    """The reject callback of one service's consumer of one stream."""

    def __init__(
        self,
        refuser: Refuser,
        stream: str,
        bus: Bus,
        journal: Journal,
        clock: Clock,
        metrics: TrafficMetrics,
    ) -> None:
        self._refuser = refuser
        self._stream = stream
        self._bus = bus
        self._journal = journal
        self._clock = clock
        self._metrics = metrics

    async def __call__(self, delivery: Delivery, error: Exception) -> None:
        """Publish the dead letter, then journal and count it; repeating this stores one letter.

        Raises:
            BusError, AccessDeniedError: the letter was not stored (retry).
            StorageFullError: the journal's disk is full (fatal); the letter is stored.
        """
        code = error.code if isinstance(error, SvcError) else UNCLASSIFIED
        place = f"{self._stream}#{delivery.sequence}"
        await self._bus.publish(
            dead_letters(self._refuser.service),
            dead_letter.encode(self._letter(delivery, code)),
            message_id=f"{self._refuser.service}:{place}",
        )
        now = unix_ns(self._clock.now())
        self._journal.append(JournalRecord(RecordKind.REJECTED, now, place, code))
        self._metrics.rejected(code)
        log.warning("message.refused", code=code, place=place, reason=str(error))

    def _letter(self, delivery: Delivery, code: str) -> DeadLetter:
        return DeadLetter(
            code=code,
            stream=self._stream,
            subject=delivery.subject,
            sequence=delivery.sequence,
            payload=dead_letter.kept(delivery.payload),
            payload_size=len(delivery.payload),
            headers=dead_letter.kept_headers(delivery.headers),
            deliveries=delivery.deliveries,
            refused_at=self._clock.now(),
            refused_by=self._refuser.instance,
        )
