"""What people watch of the rotation, under the names they know from the prototype's documents."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

ATTEMPTS: Final = "ca_rotation_attempts_total"
SUCCESS: Final = "ca_rotation_attempts_success_total"
FAILED: Final = "ca_rotation_attempts_failed_total"
GENERATION: Final = "ca_rotation_generation_duration_seconds"
CURRENT_EPOCH: Final = "ca_rotation_current_epoch"
LAST_SUCCESS: Final = "ca_rotation_last_success_timestamp"
END_TO_END: Final = "st_rotation_end_to_end_seconds"
HELD: Final = "st_rotation_held"
ROOT_REFUSED: Final = "st_root_steps_refused_total"

_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class IssuanceMetrics:
    """Counters of the authority."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(ATTEMPTS, "Issuers that were begun.", registry=registry)
        self.success = Counter(SUCCESS, "Rotations that completed.", registry=registry)
        self.failed = Counter(FAILED, "Steps that failed and are repeated.", registry=registry)
        self.generation = Histogram(
            GENERATION, "Time to make an issuer.", buckets=_BUCKETS, registry=registry
        )
        self.end_to_end = Histogram(
            END_TO_END,
            "Trust stored to all acknowledged, plus activation stored to nobody on the old.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.current_epoch = Gauge(CURRENT_EPOCH, "Epoch of the active issuer.", registry=registry)
        self.last_success = Gauge(
            LAST_SUCCESS, "Unix time of the last completed rotation.", registry=registry
        )
        self.root_refused = Counter(
            ROOT_REFUSED, "Steps about roots that OpenBao refused.", registry=registry
        )
        self.held = Gauge(HELD, "1 while a step has to wait for somebody.", registry=registry)
