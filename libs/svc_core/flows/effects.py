"""`Effects`: each message has its effect once, however often it is delivered.

A repeat after the effect is acknowledged silently. What happened is taken from the journal, so
this holds over restarts too: an effect that was journalled before the crash is known after it.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import ServiceName, service_name
from svc_core.domain.journal_records import (
    JournalRecord,
    RecordKind,
    check_record_id,
    unix_ns,
)
from svc_core.domain.profiles import RotationProfile
from svc_core.domain.replay import ReplayWindow, Verdict
from svc_core.errors import Disposition, SvcError
from svc_core.flows.secure_channel import OpenedMessage
from svc_core.ports.bus import Delivery, Handler
from svc_core.ports.journal import Journal
from svc_core.ports.time import Clock
from svc_core.runtime.traffic_metrics import TrafficMetrics


class Effects:
    """The effects of one durable consumer: ``handled`` or ``answered`` records."""

    def __init__(
        self, kind: RecordKind, journal: Journal, clock: Clock, metrics: TrafficMetrics
    ) -> None:
        """Begin with nothing seen.

        Args:
            kind: what to journal for an effect.
            journal: where effects are recorded before they count.
            clock: wall time.
            metrics: counts effects and repeats.
        """
        self._kind = kind
        self._journal = journal
        self._clock = clock
        self._metrics = metrics
        self._window = ReplayWindow()

    def restore(self, records: Iterable[JournalRecord], profile: RotationProfile) -> int:
        """Remember the effects that earlier boots journalled; return how many."""
        now = self._clock.now()
        for key, epoch in effects_in(records, self._kind):
            self._window.finish(key, now, profile.keys.expires(epoch) + profile.skew)
        return len(self._window)

    def counting(self, handler: Handler) -> Handler:
        """Return ``handler`` with its deliveries, and those it could not handle now, counted."""

        async def handle(delivery: Delivery) -> None:
            self._metrics.received()
            try:
                await handler(delivery)
            except SvcError as err:
                if err.disposition is Disposition.RETRY:
                    self._metrics.failed()
                raise

        return handle

    def is_done(self, message: OpenedMessage, record_id: str) -> bool:
        """Say whether the effect was recorded before; if so, the repeat is journalled and counted.

        Raises:
            MalformedMessageError: the id cannot be journalled.
            ReplayWindowFullError: too many messages are remembered (retry).
        """
        check_record_id(record_id)
        now = self._clock.now()
        verdict = self._window.begin(
            (message.signer, record_id), now, keep_until=message.valid_until
        )
        if verdict is not Verdict.DONE:
            return False
        # With the copy's own epoch, which may be later than that of the first.
        self._journal.append(
            JournalRecord(RecordKind.REDELIVERED, unix_ns(now), record_id, _origin(message))
        )
        self._metrics.redelivered()
        return True

    def record(
        self, message: OpenedMessage, record_id: str, *, due_at: datetime | None = None
    ) -> bool:
        """Journal the effect and return True, or False if another delivery was faster.

        Nothing is awaited between the question and the record, so no effect is recorded twice.

        Args:
            message: what had the effect.
            record_id: the id of the request it belongs to.
            due_at: when that request was due, if known; for the latency.

        Raises:
            MalformedMessageError: the id cannot be journalled.
            StorageFullError: the effect could not be journalled (fatal).
        """
        if self.is_done(message, record_id):
            return False
        now = self._clock.now()
        self._journal.append(JournalRecord(self._kind, unix_ns(now), record_id, _origin(message)))
        self._window.finish((message.signer, record_id), now, message.valid_until)
        self._metrics.answered(None if due_at is None else now - due_at)
        return True


def effects_in(
    records: Iterable[JournalRecord], kind: RecordKind
) -> Iterator[tuple[tuple[ServiceName, str], Epoch]]:
    """Yield signer, id and key epoch of every record of ``kind``, and of its repeats."""
    for record in records:
        if record.kind in {kind, RecordKind.REDELIVERED} and record.extra:
            epoch, _, signer = record.extra.partition("/")
            yield (service_name(signer), record.record_id), Epoch(int(epoch))


def _origin(message: OpenedMessage) -> str:
    return f"{message.key_epoch}/{message.signer}"
