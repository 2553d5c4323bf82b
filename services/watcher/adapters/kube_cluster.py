"""Everything Watcher needs of one Kubernetes namespace, opened and closed together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.watcher.adapters.kube_events import KubeEvents
from services.watcher.adapters.kube_pods import NatsPods, PodExecSignal, PodSelection
from services.watcher.adapters.kube_secret import SecretTarget
from services.watcher.config import KubernetesSettings
from svc_core.adapters.kube import KubeApi, Named, open_kube
from svc_core.adapters.kube_exec import PodContainer
from svc_core.ports.time import Clock


class KubeCluster:
    """The targets, signals and events of the namespace with the NATS pods."""

    def __init__(
        self, api: KubeApi, settings: KubernetesSettings, clock: Clock, instance: str
    ) -> None:
        self._api = api
        self._settings = settings
        pods = NatsPods(api, PodSelection(settings.namespace, settings.pod_selector))
        secret = Named(settings.namespace, settings.secret)
        self.material = SecretTarget(api, secret, clock, pods)
        self.trust = SecretTarget(api, Named(settings.namespace, settings.trust_secret), clock)
        self.events = KubeEvents(api, secret, clock, instance)

    def signal(self, pod: str) -> PodExecSignal:
        """Return the way to reload the server in ``pod``."""
        settings = self._settings
        place = PodContainer(settings.namespace, pod, settings.exec_container)
        return PodExecSignal(self._api, place)


@asynccontextmanager
async def open_cluster(
    settings: KubernetesSettings, clock: Clock, instance: str
) -> AsyncIterator[KubeCluster]:
    """Yield the cluster; its events are written by running `KubeEvents` as a loop."""
    async with open_kube(settings.api) as api:
        yield KubeCluster(api, settings, clock, instance)
