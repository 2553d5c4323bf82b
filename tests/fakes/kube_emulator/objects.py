"""The objects, their versions and the history that watches read."""

import asyncio
import base64
import binascii
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.fakes.kube_emulator.answers import ApiStatusError, invalid, not_found

Object = dict[str, Any]
Path = tuple[str, ...]

KINDS: Final[Mapping[str, str]] = {
    "namespaces": "Namespace",
    "secrets": "Secret",
    "configmaps": "ConfigMap",
    "pods": "Pod",
    "events": "Event",
    "serviceaccounts": "ServiceAccount",
    "roles": "Role",
    "rolebindings": "RoleBinding",
    "clusterroles": "ClusterRole",
    "clusterrolebindings": "ClusterRoleBinding",
}
"""Kind of every resource that is served."""
MAX_DATA: Final = 1 << 20
"""Bytes of data in one Secret or ConfigMap."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object is; ``namespace`` is empty for what has none."""

    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the history."""

    version: int
    type: str
    place: Place
    object: Object


@dataclass(slots=True)
class _Entry:
    object: Object
    owners: dict[str, set[Path]] = field(default_factory=dict)


class ObjectStore:
    """Every object with a version that only grows."""

    def __init__(self) -> None:
        self._entries: dict[Place, _Entry] = {}
        self._history: list[Change] = []
        self._forgotten = 0
        self._tick = asyncio.Event()
        self.listeners: list[Callable[[Change], None]] = []
        """Called with every change as it happens."""
        self.version = 1
        """Version of the last change."""

    def get(self, place: Place) -> Object:
        """Return a copy of one object, or raise the 404."""
        if place not in self._entries:
            raise not_found(place.resource, place.name)
        return copy.deepcopy(self._entries[place].object)

    def find(self, place: Place) -> Object | None:
        """Return a copy of one object, or None."""
        return self.get(place) if place in self._entries else None

    def owners(self, place: Place) -> dict[str, set[Path]]:
        """Return which field manager owns which leaves; the caller may change it."""
        entry = self._entries.get(place)
        return {m: set(paths) for m, paths in entry.owners.items()} if entry else {}

    def select(self, resource: str, namespace: str) -> list[Object]:
        """Return copies of all objects of one resource, in one namespace or (empty) in all."""
        return [
            copy.deepcopy(entry.object)
            for place, entry in sorted(self._entries.items(), key=lambda item: item[0].name)
            if place.resource == resource and namespace in {"", place.namespace}
        ]

    def put(
        self, place: Place, value: Object, owners: Mapping[str, set[Path]] | None = None
    ) -> Object:
        """Create or replace one object; one that says the same keeps its version."""
        before = self._entries.get(place)
        stored = self._completed(place, value, before)
        if before is not None and _same(before.object, stored):
            before.owners = dict(owners or before.owners)
            return copy.deepcopy(before.object)
        self._check(place, stored, before)
        self.version += 1
        stored["metadata"]["resourceVersion"] = str(self.version)
        self._entries[place] = _Entry(stored, dict(owners or (before.owners if before else {})))
        self._note("MODIFIED" if before else "ADDED", place, stored)
        return copy.deepcopy(stored)

    def remove(self, place: Place) -> Object:
        """Delete one object and return it, or raise the 404."""
        gone = self.get(place)
        del self._entries[place]
        self.version += 1
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._note("DELETED", place, gone)
        return gone

    def forget_history(self) -> None:
        """Make every watch from before now impossible, as compaction does."""
        self._history.clear()
        self._forgotten = self.version

    def changes_since(self, version: int) -> list[Change]:
        """Return what happened after ``version``, or raise the 410."""
        if version < self._forgotten:
            raise ApiStatusError(410, "Expired", f"too old resource version: {version}")
        return [change for change in self._history if change.version > version]

    async def changed(self, timeout_s: float) -> None:
        """Wait until anything changes, at most ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._tick.wait()
        except TimeoutError:
            return

    def wake(self) -> None:
        """Wake everybody who waits for a change."""
        tick, self._tick = self._tick, asyncio.Event()
        tick.set()

    def _note(self, kind: str, place: Place, value: Object) -> None:
        change = Change(self.version, kind, place, copy.deepcopy(value))
        self._history.append(change)
        for listener in self.listeners:
            listener(change)
        self.wake()

    def _completed(self, place: Place, value: Object, before: _Entry | None) -> Object:
        stored = copy.deepcopy(value)
        stored.setdefault("kind", KINDS[place.resource])
        metadata = stored.setdefault("metadata", {})
        metadata["name"] = place.name
        if place.namespace:
            metadata["namespace"] = place.namespace
        metadata["uid"] = before.object["metadata"]["uid"] if before else f"uid-{self.version}"
        if place.resource == "secrets":
            stored.setdefault("type", "Opaque")
            for name, text in (stored.pop("stringData", None) or {}).items():
                stored.setdefault("data", {})[name] = base64.b64encode(text.encode()).decode()
        return stored

    def _check(self, place: Place, value: Object, before: _Entry | None) -> None:
        if place.resource == "secrets":
            _check_secret(place.name, value, before.object if before else None)
        if place.resource == "configmaps":
            size = sum(len(text.encode()) for text in (value.get("data") or {}).values())
            if size > MAX_DATA:
                raise invalid(f'ConfigMap "{place.name}" is invalid: too long')


def _check_secret(name: str, value: Object, before: Object | None) -> None:
    if before is not None and before["type"] != value["type"]:
        raise invalid(f'Secret "{name}" is invalid: type: field is immutable')
    data = value.get("data") or {}
    if value["type"] == "kubernetes.io/tls" and not {"tls.crt", "tls.key"} <= set(data):
        raise invalid(f'Secret "{name}" is invalid: data[tls.crt]: Required value')
    try:
        size = sum(len(base64.b64decode(text, validate=True)) for text in data.values())
    except (binascii.Error, ValueError, TypeError):
        raise invalid(f'Secret "{name}" is invalid: illegal base64 data') from None
    if size > MAX_DATA:
        raise invalid(f'Secret "{name}" is invalid: data: Too long: may not be more than 1048576')


def _same(one: Object, other: Object) -> bool:
    return _without_version(one) == _without_version(other)


def _without_version(value: Object) -> Object:
    metadata = {k: v for k, v in value.get("metadata", {}).items() if k != "resourceVersion"}
    return {**value, "metadata": metadata}
