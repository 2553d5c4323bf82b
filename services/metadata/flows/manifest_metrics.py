"""What people watch of the ACL manifest: what was refused, and whether it is what is granted."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

REFUSED: Final = "st_acl_manifests_refused_total"
IN_FORCE: Final = "st_acl_manifest_in_force"

MANIFEST_REFUSED: Final = "acl.refused"
MANIFEST_MISSING: Final = "acl.missing"
MANIFEST_UNREADABLE: Final = "acl.unreadable"
"""Why a manifest changes nothing: it has errors, there is none, or it cannot be read."""


class ManifestMetrics:
    """A counter of refused manifests, and a gauge that says whether the present one counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            REFUSED,
            "Manifests that changed nothing, by what was wrong.",
            ["code"],
            registry=registry,
        )
        for code in (MANIFEST_REFUSED, MANIFEST_MISSING, MANIFEST_UNREADABLE):
            # There from the beginning, so that the first one is an increase.
            self._refused.labels(code)
        self.is_in_force = Gauge(
            IN_FORCE, "1 when the rights in force are those of the manifest.", registry=registry
        )

    def refused(self, code: str) -> None:
        """Count one change of the manifest that was not taken over."""
        self._refused.labels(code).inc()
