"""The roots as the part of the journal's document that holds them; absent in older ones."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.metadata.domain.roots import NO_ROOTS, Root, Roots, RootState


def encode_roots(roots: Roots) -> dict[str, object]:
    """Return ``roots`` as a JSON-shaped document."""
    return {
        "made": roots.made,
        "is_ordered": roots.is_ordered,
        "known": [_written(root) for root in roots.known],
    }


def decode_roots(document: Mapping[str, Any] | None) -> Roots:
    """Return the roots in ``document``; raise what Python raises when it is something else."""
    if document is None:
        return NO_ROOTS
    return Roots(
        known=tuple(_root(root) for root in document["known"]),
        made=int(document["made"]),
        is_ordered=bool(document["is_ordered"]),
    )


def _written(root: Root) -> dict[str, object]:
    return {
        "name": root.name,
        "state": root.state.value,
        "since": root.since.isoformat(),
        "version": root.version,
        "pem": root.pem,
        "key": root.key,
        "not_after": root.not_after.isoformat() if root.not_after else None,
    }


def _root(document: Mapping[str, Any]) -> Root:
    not_after = document["not_after"]
    return Root(
        name=str(document["name"]),
        state=RootState(document["state"]),
        since=_instant(document["since"]),
        version=int(document["version"]),
        pem=str(document["pem"]),
        key=str(document["key"]),
        not_after=None if not_after is None else _instant(not_after),
    )


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant without a time zone")
    return instant.astimezone(UTC)
