"""What publishing does, as metrics that are read from its own counts when they are scraped."""

from collections.abc import Iterator
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

IN_FLIGHT: Final = "st_publishes_in_flight"
WAITING: Final = "st_publishes_waiting"
REPEATED: Final = "st_publishes_repeated_total"
WAITED: Final = "st_publishes_waited_total"


class Publishing(Protocol):
    """Counts of one connection, since the process started."""

    @property
    def in_flight(self) -> int:
        """Messages that were sent, or are about to be, and not acknowledged yet."""
        ...

    @property
    def waiting(self) -> int:
        """Messages that wait for room or for their turn."""
        ...

    @property
    def repeated(self) -> int:
        """Attempts beyond the first."""
        ...

    @property
    def waited(self) -> int:
        """Messages that had to wait."""
        ...


class _PublishCollector(Collector):
    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing

    def collect(self) -> Iterator[Metric]:
        counts = self._publishing
        yield GaugeMetricFamily(
            IN_FLIGHT, "Messages whose acknowledgement is awaited.", counts.in_flight
        )
        yield GaugeMetricFamily(
            WAITING, "Messages that wait for room in the window or for their turn.", counts.waiting
        )
        yield CounterMetricFamily(
            REPEATED, "Attempts to publish beyond a message's first.", counts.repeated
        )
        yield CounterMetricFamily(
            WAITED, "Messages that had to wait before they were sent.", counts.waited
        )


def export_publishing(registry: CollectorRegistry, publishing: Publishing) -> None:
    """Register the metrics of one connection's publishing."""
    registry.register(_PublishCollector(publishing))
