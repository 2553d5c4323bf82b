"""Heads of documents that may lie in several parts: JSON-shaped entries of the secret store.

``{"format": 1, "size": n, "sha256": hex, "payload": base64}`` holds the whole document, and
``{"format": 1, "size": n, "sha256": hex, "parts": [names]}`` says where it is. A part is
``{"part": base64}`` and called ``<version of its head>-<SHA-256 of its content>``.
"""

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from svc_core.errors import MalformedMessageError

PART_SIZE: Final = 512 << 10
"""Bytes of payload in one entry: two thirds of OpenBao's limit of 1 MiB once it is text."""
MAX_SIZE: Final = 64 << 20
"""Bytes of the largest document."""

_FORMAT: Final = 1
_NAME: Final = re.compile(r"[1-9][0-9]{0,17}-[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class DocumentHead:
    """What the entry at a document's own path says."""

    size: int
    digest: str
    """SHA-256 of the whole payload, hexadecimal."""
    payload: bytes = field(default=b"", repr=False)
    """The whole of it, when there are no parts."""
    parts: tuple[str, ...] = ()


def head_of(payload: bytes) -> DocumentHead:
    """Return the head of a document that lies in its head."""
    return DocumentHead(len(payload), hashlib.sha256(payload).hexdigest(), payload)


def part_name(piece: bytes, *, version: int) -> str:
    """Return what ``piece`` is called as a part of the document of that version."""
    return f"{version}-{hashlib.sha256(piece).hexdigest()}"


def encode(head: DocumentHead) -> dict[str, object]:
    """Return ``head`` as a JSON-shaped entry."""
    said: dict[str, object] = {"format": _FORMAT, "size": head.size, "sha256": head.digest}
    if head.parts:
        return said | {"parts": list(head.parts)}
    return said | {"payload": _text(head.payload)}


def decode(entry: Mapping[str, object]) -> DocumentHead:
    """Return the head in ``entry``, or raise `MalformedMessageError`."""
    if entry.get("format") != _FORMAT:
        raise MalformedMessageError("a stored document is of no known format")
    size, digest, parts = entry.get("size"), entry.get("sha256"), _names(entry.get("parts", []))
    if not isinstance(size, int) or not isinstance(digest, str) or not 0 <= size <= MAX_SIZE:
        raise MalformedMessageError("the head of a stored document cannot be read")
    if len(parts) != (-(-size // PART_SIZE) if size > PART_SIZE else 0):
        raise MalformedMessageError("a stored document has more or fewer parts than its size says")
    return DocumentHead(size, digest, b"" if parts else _bytes(entry.get("payload")), parts)


def encode_part(piece: bytes) -> dict[str, object]:
    """Return ``piece`` of a document as a JSON-shaped entry."""
    return {"part": _text(piece)}


def decode_part(entry: Mapping[str, object]) -> bytes:
    """Return the piece of a document in ``entry``, or raise `MalformedMessageError`."""
    return _bytes(entry.get("part"))


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()


def _names(names: object) -> tuple[str, ...]:
    if not isinstance(names, list):
        raise MalformedMessageError("the head of a stored document names no parts")
    found = tuple(name for name in names if isinstance(name, str) and _NAME.fullmatch(name))
    if len(found) != len(names):
        raise MalformedMessageError("a part of a stored document has no name of one")
    return found


def _bytes(text: object) -> bytes:
    if not isinstance(text, str) or len(text) > 2 * PART_SIZE:
        raise MalformedMessageError("a stored document holds no payload where it should")
    try:
        return b64decode(text, validate=True)
    except ValueError:
        # No cause: it could quote what it could not read.
        raise MalformedMessageError("a stored document cannot be read") from None
