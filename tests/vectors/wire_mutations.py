"""Changes one value inside of an encoding and encodes it again, so that its frame stays whole.

Blind changes of bytes seldom get past the lengths before them; these reach what is checked field
by field behind. Everything is read and written by hand.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from svc_core.wire.prototype import Kind
from tests.vectors import avro_by_hand, prototype_shapes
from tests.vectors.wire_codecs import CODECS

Change = Callable[[bytes], bytes]
Path = tuple[Any, ...]
JSON = ("desired state", "status", "identities")
LONG = 8


class NotReadableError(ValueError):
    """The encoding is not whole to begin with."""


def change_one_value(name: str, raw: bytes, *, choice: int, change: Change) -> bytes:
    """Return ``raw`` with one value in it replaced.

    Args:
        name: of the decoder that ``raw`` is for, as in `tests.vectors.wire_checks`.
        raw: with its tag, where it has one.
        choice: which value, counted round and round.
        change: makes the bytes of the new value from those of the old.

    Raises:
        NotReadableError: ``raw`` is no encoding, or has no value that can be changed.
    """
    read, write = _form(name)
    try:
        value = read(raw)
    except (avro_by_hand.NotAvroError, ValueError, RecursionError) as err:
        raise NotReadableError(name) from err
    places = list(_places(value))
    if not places:
        raise NotReadableError(name)
    return write(_replaced(value, places[choice % len(places)], change))


def _form(name: str) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
    if name in JSON:
        return json.loads, _canonical_json
    codec = CODECS.get(name)
    if codec is None:
        shape, tag = prototype_shapes.schema(Kind[name.removeprefix("prototype_").upper()]), b""
    elif codec.schema:
        shape, tag = codec.by_hand(), codec.tag
    else:
        raise NotReadableError(name)
    return (
        lambda raw: avro_by_hand.read(shape, raw[len(tag) :], ordered=False),
        lambda value: tag + avro_by_hand.write(shape, value),
    )


def _canonical_json(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="replace")


def _places(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*path, index))
    elif value is not None:
        yield path


def _replaced(value: Any, path: Path, change: Change) -> Any:
    if not path:
        return _changed(value, change)
    first, rest = path[0], path[1:]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    copied = {k: _replaced(item, rest, change) if k == first else item for k, item in items}
    return copied if isinstance(value, dict) else list(copied.values())


def _changed(value: Any, change: Change) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        old = value.to_bytes(LONG, "big", signed=True) if abs(value) < 1 << 62 else bytes(LONG)
        return int.from_bytes(change(old)[:LONG], "big", signed=True)
    if isinstance(value, str):
        return change(value.encode(errors="replace")).decode(errors="ignore")
    return change(value) if isinstance(value, bytes) else value
