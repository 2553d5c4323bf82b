"""What goes through one of the two load services: counted for Prometheus and for its own reports.

Counters start at zero with the process; what must survive it is in the journal.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

SENT: Final = "st_messages_sent_total"
ACKED: Final = "st_messages_acked_total"
RECEIVED: Final = "st_messages_received_total"
ANSWERED: Final = "st_messages_answered_total"
REDELIVERED: Final = "st_messages_redelivered_total"
REJECTED: Final = "st_messages_rejected_total"
LATENCY: Final = "st_request_latency_seconds"
_LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass(slots=True)
class TrafficCounts:
    """Messages since the process started."""

    sent: int = 0
    acked: int = 0
    received: int = 0
    answered: int = 0
    redelivered: int = 0
    rejected: int = 0
    failed: int = 0
    """Messages that could not be sent or handled now; a failed delivery comes again."""


class TrafficMetrics:
    """Counts messages; the plain counts are for reports in the log."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counts = TrafficCounts()
        self._sent = Counter(SENT, "Messages about to be published.", registry=registry)
        self._acked = Counter(ACKED, "Messages the broker acknowledged.", registry=registry)
        self._received = Counter(RECEIVED, "Deliveries, repeats included.", registry=registry)
        self._answered = Counter(
            ANSWERED, "Messages whose effect was recorded, once each.", registry=registry
        )
        self._redelivered = Counter(
            REDELIVERED, "Messages that came again after their effect.", registry=registry
        )
        self._rejected = Counter(
            REJECTED, "Messages refused for good, by error code.", ("code",), registry=registry
        )
        self._latency = Histogram(
            LATENCY,
            "Time from when a request was due to its response.",
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )

    def snapshot(self) -> TrafficCounts:
        """Return the counts as of now."""
        return replace(self._counts)

    def sent(self) -> None:
        """Count a message that is about to be published."""
        self._counts.sent += 1
        self._sent.inc()

    def acked(self) -> None:
        """Count a message that the broker acknowledged."""
        self._counts.acked += 1
        self._acked.inc()

    def received(self) -> None:
        """Count a delivery, repeats included."""
        self._counts.received += 1
        self._received.inc()

    def answered(self, latency: timedelta | None = None) -> None:
        """Count an effect, with the time since its request was due where that is known."""
        self._counts.answered += 1
        self._answered.inc()
        if latency is not None:
            self._latency.observe(latency.total_seconds())

    def redelivered(self) -> None:
        """Count a repeat of a message that had its effect before."""
        self._counts.redelivered += 1
        self._redelivered.inc()

    def rejected(self, code: str) -> None:
        """Count a message that was refused for good."""
        self._counts.rejected += 1
        self._rejected.labels(code).inc()

    def failed(self) -> None:
        """Count a message that could not be sent or handled now."""
        self._counts.failed += 1
