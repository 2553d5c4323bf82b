"""Sending one request: sealed, journalled, published, acknowledged."""

from dataclasses import dataclass
from datetime import datetime

import structlog

from services.gatekeeper.domain.outstanding import Outstanding
from services.gatekeeper.domain.report_lines import generation_line
from services.gatekeeper.flows.users import Users
from svc_core.domain.journal_records import JournalRecord, RecordKind, unix_ns
from svc_core.domain.milestones import Milestones
from svc_core.domain.subjects import AUTH_REQUEST
from svc_core.flows.secure_channel import SecureChannel
from svc_core.ports.bus import Bus
from svc_core.ports.journal import Journal
from svc_core.ports.time import Clock
from svc_core.runtime.traffic_metrics import TrafficMetrics
from svc_core.wire import auth

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RequestSender:
    """Sends requests; each is in the journal before the broker may know it."""

    channel: SecureChannel
    bus: Bus
    journal: Journal
    clock: Clock
    users: Users
    outstanding: Outstanding
    metrics: TrafficMetrics
    milestones: Milestones

    async def send(self, request_id: str, index: int, *, due_at: datetime) -> None:
        """Send request ``index`` under ``request_id`` and wait for the acknowledgement.

        Raises:
            SvcError: it was not sealed, or not acknowledged in time; then its fate is unknown.
        """
        sealed = await self.channel.seal(
            AUTH_REQUEST,
            auth.encode_request(self.users.request(index)),
            message_type=auth.REQUEST_TYPE,
            message_id=request_id,
        )
        self._note(RecordKind.SENT, request_id, extra=str(unix_ns(due_at)))
        self.outstanding.began(request_id, due_at)
        self.metrics.sent()
        await self.bus.publish(AUTH_REQUEST, sealed, message_id=request_id)
        self._note(RecordKind.ACKED, request_id)
        self.metrics.acked()
        acked = self.metrics.snapshot().acked
        if self.milestones.reached(acked):
            log.info(generation_line(acked))

    def note_skipped(self, request_id: str, count: int) -> None:
        """Journal that ``count`` requests from ``request_id`` on were not sent at all."""
        self._note(RecordKind.SKIPPED, request_id, extra=str(count))

    def _note(self, kind: RecordKind, request_id: str, *, extra: str = "") -> None:
        self.journal.append(JournalRecord(kind, unix_ns(self.clock.now()), request_id, extra))
