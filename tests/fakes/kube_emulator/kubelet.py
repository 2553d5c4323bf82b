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

from tests.fakes.kube_emulator.objects import Change, Object, ObjectStore, Place

_MODE: Final = 0o400


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
    _annotations: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _published: dict[Path, int] = field(default_factory=dict)

    def note(self, change: Change) -> None:
        """Plan what follows from one change in the store."""
        for volume in self.volumes:
            if change.place == volume.secret and change.type != "DELETED":
                self._sync_later(volume, change.object, volume.delay)
            if change.place.resource == "pods" and change.place.name == volume.pod:
                self._heed(volume, change)

    def _heed(self, volume: SecretVolume, change: Change) -> None:
        annotations = change.object["metadata"].get("annotations") or {}
        before = self._annotations.get(volume.pod)
        self._annotations[volume.pod] = annotations
        found = self.store.find(volume.secret)
        if volume.heeds_annotations and annotations != before and found is not None:
            self._sync_later(volume, found, timedelta(0))

    def _sync_later(self, volume: SecretVolume, secret: Object, delay: timedelta) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(delay.total_seconds(), self._sync, volume, secret)

    def _sync(self, volume: SecretVolume, secret: Object) -> None:
        version = int(secret["metadata"]["resourceVersion"])
        if self._published.get(volume.directory, 0) < version:
            self._published[volume.directory] = version
            publish(volume.directory, secret.get("data") or {}, version)
            self.syncs[volume.pod] = self.syncs.get(volume.pod, 0) + 1


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
