"""What becomes of the connection to NATS, as metrics that are read when they are scraped."""

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from svc_core.domain.stranding import Stranding

CONNECTED: Final = "st_connection_up"
LOST: Final = "st_connection_losses_total"
MOVED: Final = "st_connection_moves_total"


class Connecting(Protocol):
    """One connection, since the process started."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a live link now."""
        ...

    @property
    def losses(self) -> int:
        """Links that were lost or fell silent."""
        ...

    @property
    def moves(self) -> Mapping[Stranding, int]:
        """Moves away from a server that took nothing any more, by how it did not."""
        ...


class _ConnectionCollector(Collector):
    def __init__(self, connection: Connecting) -> None:
        self._connection = connection

    def collect(self) -> Iterator[Metric]:
        connection = self._connection
        yield GaugeMetricFamily(
            CONNECTED, "1 while there is a live connection to NATS.", int(connection.is_connected)
        )
        yield CounterMetricFamily(
            LOST, "Connections to NATS that were lost or fell silent.", connection.losses
        )
        moves = CounterMetricFamily(
            MOVED, "Moves away from a server that took nothing any more.", labels=["reason"]
        )
        for reason in Stranding:
            moves.add_metric([reason.value], connection.moves.get(reason, 0))
        yield moves


def export_connection(registry: CollectorRegistry, connection: Connecting) -> None:
    """Register the metrics of one connection."""
    registry.register(_ConnectionCollector(connection))
