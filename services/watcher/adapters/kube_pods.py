"""The NATS pods: found by label, nudged by an annotation, reloaded by a command inside."""

from dataclasses import dataclass
from typing import Final

import structlog

from svc_core.adapters.kube import MERGE, KubeApi
from svc_core.adapters.kube_exec import PodContainer, run_in_pod
from svc_core.errors import SvcError

log = structlog.get_logger()

MATERIAL: Final = "rotation.watcher.io/material"
"""What should be mounted; a change of it makes the kubelet look at the pod's volumes at once."""
VARIANTS: Final = (
    ("sh", "-c", "kill -HUP 1"),
    ("kill", "-HUP", "1"),
    ("nats-server", "--signal", "reload=1"),
)
"""Images differ: slim Debian has no ``kill`` but a shell's own, one from scratch has neither."""
_RUNNING: Final = "Running"


@dataclass(frozen=True, slots=True)
class PodSelection:
    """Which pods."""

    namespace: str
    selector: str


class NatsPods:
    """The pods that have the Secret mounted."""

    def __init__(self, api: KubeApi, selection: PodSelection) -> None:
        self._api = api
        self._selection = selection
        self._trouble = ""

    async def nudge(self, digest: str) -> None:
        """Mark every running pod with what it should have mounted; trouble is only reported.

        A kubelet syncs a pod whose annotations changed at once; without that it takes up to two
        minutes, and nothing is lost but time.
        """
        try:
            for name in await self._unmarked(digest):
                await self._mark(name, digest)
        except SvcError as err:
            if err.code != self._trouble:
                log.warning("pods.not_nudged", code=err.code, reason=str(err))
            self._trouble = err.code
        else:
            self._trouble = ""

    async def _unmarked(self, digest: str) -> list[str]:
        place = self._selection
        found = await self._api.call(
            lambda core: core.list_namespaced_pod(place.namespace, label_selector=place.selector)
        )
        return [
            str(pod.metadata.name)
            for pod in found.items
            if pod.status.phase == _RUNNING
            and (pod.metadata.annotations or {}).get(MATERIAL) != digest
        ]

    async def _mark(self, name: str, digest: str) -> None:
        body = {"metadata": {"annotations": {MATERIAL: digest}}}
        await self._api.send(
            self._api.core.patch_namespaced_pod,
            name,
            self._selection.namespace,
            body,
            _content_type=MERGE,
        )


class PodExecSignal:
    """`ReloadSignal` as a command in the pod: works when no connection to the server does."""

    def __init__(self, api: KubeApi, place: PodContainer) -> None:
        self._api = api
        self._place = place
        self._variants: tuple[tuple[str, ...], ...] = VARIANTS
        self._reported: set[str] = set()

    async def signal(self) -> bool:
        """Send SIGHUP to the container's first process; return False when no variant could.

        Raises:
            KubernetesError, AccessDeniedError, NotFoundError: the command could not be asked for.
        """
        for variant in self._variants:
            outcome = await run_in_pod(self._api, self._place, variant)
            if not outcome.failure:
                # What has worked is tried first the next time.
                self._variants = (variant, *(v for v in self._variants if v != variant))
                self._reported.clear()
                return True
            self._report(" ".join(variant), outcome.failure)
        return False

    def _report(self, variant: str, failure: str) -> None:
        if variant not in self._reported:
            self._reported.add(variant)
            log.warning(
                "signal.variant_failed", pod=self._place.pod, command=variant, reason=failure
            )
