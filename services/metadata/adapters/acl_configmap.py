"""`AclManifest` as one key of a Kubernetes ConfigMap."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from services.metadata.config import AclConfigMap
from svc_core.adapters.kube import KubeApi, Named, open_kube
from svc_core.adapters.kube_watch import follow_config_map


class ConfigMapManifest:
    """The ConfigMap, listed and watched by its own name only."""

    def __init__(self, api: KubeApi, settings: AclConfigMap) -> None:
        self._api = api
        self._place = Named(settings.namespace, settings.name)
        self._key = settings.key
        self.name = f"ConfigMap {settings.namespace}/{settings.name} {settings.key}"

    async def follow(self) -> AsyncGenerator[bytes | None, None]:
        """Yield its bytes now and after every change; None while there is no such key.

        Raises:
            KubernetesError, AccessDeniedError: it cannot be listed now; follow again later.
        """
        async for data in follow_config_map(self._api, self._place):
            text = None if data is None else data.get(self._key)
            yield None if text is None else text.encode()


@asynccontextmanager
async def open_manifest(settings: AclConfigMap) -> AsyncIterator[ConfigMapManifest]:
    """Yield the manifest and close its connections at the end."""
    async with open_kube(settings.api) as api:
        yield ConfigMapManifest(api, settings)
