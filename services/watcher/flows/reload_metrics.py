"""What people watch of the reloads, under the names they know from the prototype's documents."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

RELOADS: Final = "ca_rotation_sighup_total"
RELOADS_SUCCESS: Final = "ca_rotation_sighup_success_total"
RELOADS_FAILED: Final = "ca_rotation_sighup_failed_total"
PODS: Final = "ca_rotation_sighup_pods_total"
PODS_SUCCESS: Final = "ca_rotation_sighup_pods_success_total"
PODS_FAILED: Final = "ca_rotation_sighup_pods_failed_total"
ORCHESTRATION: Final = "ca_rotation_orchestration_duration_seconds"
PROPAGATION: Final = "ca_rotation_secret_propagation_seconds"

_BUCKETS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PROPAGATION_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0, 120.0)


class ReloadMetrics:
    """Counters of the servers' reloads, whichever way they were asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._total = Counter(RELOADS, "Server reloads that were asked for.", registry=registry)
        self._success = Counter(RELOADS_SUCCESS, "Reloads that were verified.", registry=registry)
        self._failed = Counter(RELOADS_FAILED, "Reloads that were not.", registry=registry)
        # The same numbers under the other names that the prototype's documents give them.
        self._pods = Counter(PODS, "The same as " + RELOADS + ".", registry=registry)
        self._pods_success = Counter(
            PODS_SUCCESS, "The same as " + RELOADS_SUCCESS + ".", registry=registry
        )
        self._pods_failed = Counter(
            PODS_FAILED, "The same as " + RELOADS_FAILED + ".", registry=registry
        )
        self.orchestration = Histogram(
            ORCHESTRATION,
            "Time from a new version to every server verified.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.propagation = Histogram(
            PROPAGATION,
            "Time from publishing a server's files to the server running with them.",
            buckets=_PROPAGATION_BUCKETS,
            registry=registry,
        )

    def reloaded(self, *, error: str) -> None:
        """Count one reload by its outcome."""
        failed, success = (self._failed, self._pods_failed), (self._success, self._pods_success)
        for counter in (self._total, self._pods, *(failed if error else success)):
            counter.inc()
