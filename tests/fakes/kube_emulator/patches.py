"""The four kinds of patch, as far as maps go: every list is replaced as a whole."""

import copy
from typing import Any, Final

from tests.fakes.kube_emulator.answers import conflict, invalid
from tests.fakes.kube_emulator.objects import Object, Path

MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
JSON: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"

_UNOWNED: Final = frozenset(
    {
        ("apiVersion",),
        ("kind",),
        ("metadata", "name"),
        ("metadata", "namespace"),
        ("metadata", "resourceVersion"),
        ("metadata", "uid"),
    }
)

Owners = dict[str, set[Path]]


def merged(target: Any, patch: Any) -> Any:
    """Return ``target`` with ``patch`` merged in; null removes (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def edited(target: Object, operations: list[dict[str, Any]]) -> Object:
    """Return ``target`` after the operations of a JSON patch (RFC 6902, on maps)."""
    result = copy.deepcopy(target)
    for operation in operations:
        *parents, name = _pointer(operation["path"])
        holder: Any = result
        for part in parents:
            holder = holder.setdefault(part, {})
        kind = operation["op"]
        if kind == "test" and holder.get(name) != operation["value"]:
            raise invalid("the server rejected our request due to an error in our request")
        if kind == "remove":
            if name not in holder:
                raise invalid(f"remove operation does not apply: {operation['path']}")
            del holder[name]
        if kind in {"add", "replace"}:
            holder[name] = copy.deepcopy(operation["value"])
    return result


def leaves(value: Object, above: Path = ()) -> dict[Path, Any]:
    """Return every leaf by its path, without what nobody owns."""
    found: dict[Path, Any] = {}
    for name, inner in value.items():
        path = (*above, name)
        if isinstance(inner, dict) and inner:
            found |= leaves(inner, path)
        elif path not in _UNOWNED:
            found[path] = inner
    return found


def applied(
    current: Object, wanted: Object, owners: Owners, *, manager: str, force: bool
) -> tuple[Object, Owners]:
    """Return the object and its owners after a server-side apply by ``manager``."""
    before, ours = leaves(current), leaves(wanted)
    others = {path: m for m, paths in owners.items() if m != manager for path in paths}
    disputed = [p for p, v in ours.items() if p in others and before.get(p) != v]
    if disputed and not force:
        holders = sorted({others[path] for path in disputed})
        raise conflict(f"Apply failed with {len(disputed)} conflict(s) with {holders}")
    result = copy.deepcopy(current)
    for path in owners.get(manager, set()) - set(ours):
        if path not in others:
            _drop(result, path)
    for path, value in ours.items():
        _place(result, path, value)
    kept = {m: paths - set(disputed) for m, paths in owners.items() if m != manager}
    return result, kept | {manager: set(ours)}


def owned_after_write(before: Object | None, after: Object, owners: Owners, manager: str) -> Owners:
    """Return the owners after ``manager`` wrote something without apply."""
    old, new = leaves(before or {}), leaves(after)
    changed = {path for path, value in new.items() if old.get(path) != value}
    gone = set(old) - set(new)
    kept = {m: paths - changed - gone for m, paths in owners.items()}
    return kept | {manager: kept.get(manager, set()) | changed}


def _pointer(text: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in text.lstrip("/").split("/")]


def _place(target: Object, path: Path, value: Any) -> None:
    for part in path[:-1]:
        target = target.setdefault(part, {})
    target[path[-1]] = copy.deepcopy(value)


def _drop(target: Object, path: Path) -> None:
    for part in path[:-1]:
        target = target.get(part, {})
    target.pop(path[-1], None)
