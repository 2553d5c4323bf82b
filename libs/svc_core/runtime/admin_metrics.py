"""Who came to the admin listener and was turned away, and why."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from svc_core.domain.handshakes import Refusal

HANDSHAKES: Final = "st_admin_handshakes_total"
HANDSHAKES_REFUSED: Final = "st_admin_handshakes_refused_total"
REQUESTS_REFUSED: Final = "st_admin_requests_refused_total"
CONNECTIONS: Final = "st_admin_connections"
TURNED_AWAY: Final = "st_admin_connections_turned_away_total"
CUT: Final = "st_admin_connections_cut_total"

_STATUS_CODES: Final = ("401", "403")


class AdminMetrics:
    """Counts of the admin listener; every reason is there from the start, at zero."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._handshakes = Counter(HANDSHAKES, "Handshakes that were completed.", registry=registry)
        self._refused = Counter(
            HANDSHAKES_REFUSED, "Handshakes that failed, by reason.", ("reason",), registry=registry
        )
        self._requests = Counter(
            REQUESTS_REFUSED,
            "Requests for the status by somebody who may not have it.",
            ("code",),
            registry=registry,
        )
        self._turned_away = Counter(
            TURNED_AWAY, "Connections above the limit, closed at once.", registry=registry
        )
        self._cut = Counter(
            CUT, "Connections that outlived their certificate's generation.", registry=registry
        )
        self._connections = Gauge(CONNECTIONS, "Open connections.", registry=registry)
        for reason in Refusal:
            self._refused.labels(reason.value)
        for code in _STATUS_CODES:
            self._requests.labels(code)

    def completed(self) -> None:
        """Count a handshake that was completed."""
        self._handshakes.inc()

    def refused(self, reason: Refusal) -> None:
        """Count a handshake that failed."""
        self._refused.labels(reason.value).inc()

    def forbidden(self, code: int) -> None:
        """Count a request for the status that was answered with 401 or 403."""
        self._requests.labels(str(code)).inc()

    def turned_away(self) -> None:
        """Count a connection above the limit."""
        self._turned_away.inc()

    def cut(self) -> None:
        """Count a connection that was cut because its generation is over."""
        self._cut.inc()

    def read_connections(self, read: Callable[[], float]) -> None:
        """Take the number of open connections from ``read`` whenever it is scraped."""
        self._connections.set_function(read)
