"""A kubelet's one habit that matters here: Secret volumes change later, each pod at its own time.

Files are published as the real one does: a directory of its own per version, ``..data`` pointing
to the newest by one rename, and the visible names pointing through ``..data``.
"""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from tests.fakes.kube_emulator.objects import Change, ObjectStore, Place

_MODE: Final = 0o400
_LOOK_AGAIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class SecretVolume:
    """One Secret as one pod has it mounted."""

    pod: str
    secret: Place
    directory: Path
    delay: timedelta = timedelta(0)
    """From a change of the Secret to the change of the files."""
    heeds_annotations: bool = False
    """Whether a changed pod annotation makes it sync at once."""


@dataclass(slots=True)
class Kubelet:
    """Keeps every volume in step, late."""

    store: ObjectStore
    volumes: tuple[SecretVolume, ...] = ()
    syncs: dict[str, int] = field(default_factory=dict)
    """How often each pod's files have changed."""
    _due: list[tuple[float, SecretVolume, Mapping[str, str], int]] = field(default_factory=list)
    _annotations: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _published: dict[Path, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Follow the store for ever."""
        seen = 0
        while True:
            changes = self.store.changes_since(seen)
            seen = self.store.version
            for change in changes:
                self._note(change)
            wait_s = self._sync_due()
            await self.store.changed(wait_s)

    def _note(self, change: Change) -> None:
        now = asyncio.get_running_loop().time()
        for volume in self.volumes:
            if change.place == volume.secret and change.type != "DELETED":
                due = now + volume.delay.total_seconds()
                data = change.object.get("data") or {}
                self._due.append((due, volume, data, change.version))
            if change.place.resource == "pods" and change.place.name == volume.pod:
                self._heed(volume, change)

    def _heed(self, volume: SecretVolume, change: Change) -> None:
        annotations = change.object["metadata"].get("annotations") or {}
        before = self._annotations.get(volume.pod)
        self._annotations[volume.pod] = annotations
        if volume.heeds_annotations and before is not None and annotations != before:
            found = self.store.find(volume.secret)
            if found is not None:
                version = int(found["metadata"]["resourceVersion"])
                self._due.append((0.0, volume, found.get("data") or {}, version))

    def _sync_due(self) -> float:
        now = asyncio.get_running_loop().time()
        for item in [item for item in self._due if item[0] <= now]:
            self._due.remove(item)
            _, volume, data, version = item
            if self._published.get(volume.directory, 0) < version:
                self._published[volume.directory] = version
                publish(volume.directory, data, version)
                self.syncs[volume.pod] = self.syncs.get(volume.pod, 0) + 1
        return max(min((due for due, *_ in self._due), default=now + _LOOK_AGAIN_S) - now, 0.0)


def publish(directory: Path, data: Mapping[str, str], version: int) -> None:
    """Replace the files in ``directory`` together, as a kubelet does."""
    directory.mkdir(parents=True, exist_ok=True)
    current = directory / f"..{version}"
    current.mkdir()
    for name, text in data.items():
        path = current / name
        path.write_bytes(base64.b64decode(text))
        path.chmod(_MODE)
    pointer = directory / "..data_tmp"
    pointer.symlink_to(current.name)
    pointer.rename(directory / "..data")
    for name in data:
        visible = directory / name
        if not visible.is_symlink():
            visible.symlink_to(Path("..data") / name)
