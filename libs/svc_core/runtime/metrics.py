"""Names of the metrics every service exports, and the gauges that describe its own state.

Durations are in seconds, as Prometheus wants them. Rotation metrics keep the names people know
from the prototype's documentation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)

CLIENT_RELOADS: Final = "ca_rotation_client_reloads_total"
CLIENT_RELOADS_SUCCESS: Final = "ca_rotation_client_reloads_success_total"
CLIENT_RELOADS_FAILED: Final = "ca_rotation_client_reloads_failed_total"
CLIENT_RECONNECT: Final = "ca_rotation_client_reconnect_duration_seconds"
CLIENT_LAST_UPDATE: Final = "ca_rotation_client_last_update"
DESIRED_VERSION: Final = "st_desired_version"
KEY_EPOCH: Final = "st_key_epoch"
ISSUER: Final = "st_issuer"
READY: Final = "st_ready"
LEAF_REMAINING: Final = "st_leaf_remaining_seconds"

_RECONNECT_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class StateReadings:
    """Where the gauges take their values from, when they are scraped."""

    desired_version: Callable[[], float]
    key_epoch: Callable[[], float]
    ready: Callable[[], float]
    leaf_remaining_s: Callable[[], float]


class RotationMetrics:
    """Counts what happens to this process's own certificates and connection."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reloads = Counter(
            CLIENT_RELOADS, "Moves to a new certificate that were tried.", registry=registry
        )
        self._success = Counter(
            CLIENT_RELOADS_SUCCESS, "Moves to a new certificate that worked.", registry=registry
        )
        self._failed = Counter(
            CLIENT_RELOADS_FAILED, "Moves that failed; the old one went on.", registry=registry
        )
        self._duration = Histogram(
            CLIENT_RECONNECT,
            "Time from opening the new connection to the old one being closed.",
            buckets=_RECONNECT_BUCKETS,
            registry=registry,
        )
        self._last_update = Gauge(
            CLIENT_LAST_UPDATE, "CA epoch of the certificate in use.", registry=registry
        )
        self._issuer = Info(ISSUER, "Issuer of the certificate in use.", registry=registry)

    def moved(self, *, issuer: str, duration_s: float) -> None:
        """Count one successful move to a certificate of ``issuer``."""
        self._reloads.inc()
        self._success.inc()
        self._duration.observe(duration_s)
        self.uses(issuer)

    def failed(self) -> None:
        """Count one move that failed."""
        self._reloads.inc()
        self._failed.inc()

    def uses(self, issuer: str) -> None:
        """Say which issuer's certificate is in use; ``ca-<epoch>-<attempt>``."""
        self._issuer.info({"issuer": issuer})
        _, _, rest = issuer.partition("-")
        epoch, _, _ = rest.partition("-")
        if epoch.isdigit():
            self._last_update.set(int(epoch))


def process_registry() -> CollectorRegistry:
    """Return a registry with what every process exports about itself."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def export_state(registry: CollectorRegistry, readings: StateReadings) -> None:
    """Register the gauges of this process's state."""
    for name, text, read in (
        (DESIRED_VERSION, "Version of the desired state taken over.", readings.desired_version),
        (KEY_EPOCH, "Newest key epoch this process holds keys for.", readings.key_epoch),
        (READY, "1 when every loop is within its budget.", readings.ready),
        (LEAF_REMAINING, "Seconds left of the leaf in use.", readings.leaf_remaining_s),
    ):
        Gauge(name, text, registry=registry).set_function(read)
