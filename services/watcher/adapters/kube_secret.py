"""`FileTarget` as a Kubernetes Secret, kept in step with the pods that have it mounted."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from kubernetes_asyncio.client import V1Secret

from services.watcher.adapters.kube_pods import NatsPods
from services.watcher.domain.server_files import digest
from svc_core.adapters.kube import APPLY, KubeApi, Named
from svc_core.errors import NotFoundError, RequestRefusedError, StaleWriteError
from svc_core.ports.time import Clock

log = structlog.get_logger()

TIMESTAMP: Final = "rotation.watcher.io/ts"
"""When the Secret was last written, ISO-8601."""
DIGEST: Final = "rotation.watcher.io/digest"
"""SHA-256 over what was written: differs from the content after a change by hand."""
PREVIOUS: Final = "-previous"
MANAGER: Final = "watcher"
MAX_SIZE: Final = 1 << 20
"""Bytes of data that one Secret holds."""

_ATTEMPTS: Final = 3
_READ_AGAIN_S: Final = 5.0
_PART_OF: Final = {"app.kubernetes.io/managed-by": MANAGER}


@dataclass(frozen=True, slots=True)
class _Found:
    """A Secret as it was read."""

    files: Mapping[str, bytes]
    version: str
    annotations: Mapping[str, str]

    @property
    def is_own_work(self) -> bool:
        """Whether the content is what was last written here, by its own digest."""
        return self.annotations.get(DIGEST) == digest(self.files)


class SecretTarget:
    """Files as the keys of one Secret, applied by this field manager, the last set kept beside.

    Args:
        api: as the service account that may write it.
        place: the Secret; made when it is not there.
        clock: for the annotation and for how often it is read again.
        pods: those that have it mounted; without them nothing is nudged and nothing is kept.
    """

    def __init__(
        self, api: KubeApi, place: Named, clock: Clock, pods: NatsPods | None = None
    ) -> None:
        self._api = api
        self._place = place
        self._clock = clock
        self._pods = pods
        self._found: _Found | None = None
        self._read_at = float("-inf")

    async def publish(self, files: Mapping[str, bytes]) -> None:
        """Replace the set.

        Raises:
            RequestRefusedError: it is larger than a Secret may be, or of another type there.
            StaleWriteError: somebody else keeps writing it.
            KubernetesError, AccessDeniedError: as the API answered.
        """
        size = sum(map(len, files.values()))
        if size > MAX_SIZE:
            raise RequestRefusedError(
                f"{size} bytes do not fit into Secret {self._place.name} ({MAX_SIZE} at most)"
            )
        self._read_at = float("-inf")
        for left in reversed(range(_ATTEMPTS)):
            try:
                await self._replace(files)
                break
            except StaleWriteError:
                if not left:
                    raise
                log.info("secret.write_repeated", secret=self._place.name)

    async def fetch(self, names: Sequence[str]) -> Mapping[str, bytes] | None:
        """Return the named files as they are published now, or None when one is missing.

        What was read less than five seconds ago counts as now, unless it was published since.
        """
        if self._clock.monotonic() - self._read_at >= _READ_AGAIN_S:
            self._found = await self._read()
            self._read_at = self._clock.monotonic()
            await self._nudge()
        found = self._found
        if found is None or not set(names) <= set(found.files):
            return None
        return {name: found.files[name] for name in names}

    async def _replace(self, files: Mapping[str, bytes]) -> None:
        found = await self._read()
        if self._pods is not None and found is not None and found.is_own_work:
            await self._keep_previous(found)
        # The version makes a second writer notice; force only takes back what a hand has edited.
        version = found.version if found is not None else None
        applied = await self._apply(self._place.name, files, version)
        self._found = _read_secret(applied)
        self._read_at = self._clock.monotonic()
        await self._nudge()

    async def _keep_previous(self, found: _Found) -> None:
        name = self._place.name + PREVIOUS
        written_at = found.annotations.get(TIMESTAMP, "")
        await self._apply(name, found.files, None, written_at=written_at)

    async def _apply(
        self,
        name: str,
        files: Mapping[str, bytes],
        version: str | None,
        *,
        written_at: str = "",
    ) -> V1Secret:
        now = written_at or self._clock.now().isoformat()
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": self._place.namespace,
            "labels": _PART_OF,
            "annotations": {TIMESTAMP: now, DIGEST: digest(files)},
        }
        if version is not None:
            metadata["resourceVersion"] = version
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "Opaque",
            "data": {key: base64.b64encode(content).decode() for key, content in files.items()},
        }
        return await self._api.send(
            self._api.core.patch_namespaced_secret,
            name,
            self._place.namespace,
            body,
            field_manager=MANAGER,
            force=True,
            _content_type=APPLY,
        )

    async def _read(self) -> _Found | None:
        try:
            secret = await self._api.call(
                lambda core: core.read_namespaced_secret(self._place.name, self._place.namespace)
            )
        except NotFoundError:
            return None
        return _read_secret(secret)

    async def _nudge(self) -> None:
        if self._pods is not None and self._found is not None:
            await self._pods.nudge(self._found.annotations.get(DIGEST, ""))


def _read_secret(secret: V1Secret) -> _Found:
    data: Mapping[str, str] = secret.data or {}
    return _Found(
        {name: base64.b64decode(text) for name, text in data.items()},
        str(secret.metadata.resource_version),
        dict(secret.metadata.annotations or {}),
    )
