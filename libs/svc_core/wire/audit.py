"""Entries of the audit log as canonical JSON, and the digest that chains them.

The digest of an entry covers the digest of the entry before and its own bytes as stored, so an
entry cannot be changed, moved or left out without all later ones giving it away.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from svc_core.domain.audit import CHECKPOINT, DIGEST_SIZE, AuditEntry, Checkpoint
from svc_core.errors import MalformedMessageError
from svc_core.wire.documents import Int64, decode_json, encode_json, read_base64
from svc_core.wire.fields import read_instant, read_token, require, write_instant
from svc_core.wire.records import canonical_fields

FORMAT: Final = "audit-entry/1"
LIMIT: Final = 32 * 1024
"""Most bytes of one encoded entry."""
_LABEL: Final = "svc_core/audit-entry/v1"


class _Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    first: Int64
    before: str
    signer: str
    signature: str


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    format: str
    number: Int64
    at: str
    by: str
    kind: str
    subject: str
    facts: dict[str, str] = msgspec.field(default_factory=dict)
    follows: Int64 | None = None
    checkpoint: _Checkpoint | None = None


def encode(entry: AuditEntry) -> bytes:
    """Return ``entry`` as canonical JSON.

    Raises:
        ValueError: it would be more than 32 KiB.
    """
    body = encode_json(
        _Entry(
            format=FORMAT,
            number=entry.number,
            at=write_instant(entry.at),
            by=entry.by,
            kind=entry.kind,
            subject=entry.subject,
            facts=dict(entry.facts),
            follows=entry.follows,
            checkpoint=_written(entry.checkpoint),
        )
    )
    if len(body) > LIMIT:
        raise ValueError(f"an audit entry has at most {LIMIT} bytes, not {len(body)}")
    return body


def decode(body: bytes) -> AuditEntry:
    """Return the entry in ``body``; its place in the chain is not checked here.

    Raises:
        MalformedMessageError: no entry.
    """
    require(len(body) <= LIMIT, "an audit entry is too long")
    found = decode_json(body, _Entry)
    require(found.format == FORMAT, "unknown format of an audit entry")
    require(found.number >= 1, "audit entries count from 1")
    require(found.follows is None or 0 <= found.follows < found.number, "follows what is later")
    require((found.checkpoint is not None) == (found.kind == CHECKPOINT), "half a checkpoint")
    return AuditEntry(
        number=found.number,
        at=read_instant(found.at),
        by=read_token(found.by, "instance"),
        kind=read_token(found.kind, "kind"),
        subject=found.subject,
        facts=found.facts,
        follows=found.follows,
        checkpoint=_read(found.checkpoint, found.number),
    )


def digest_of(body: bytes, previous: bytes) -> bytes:
    """Return the digest of an entry, 32 bytes.

    Args:
        body: the entry as `encode` made it.
        previous: digest of the entry before, 32 bytes.
    """
    return hashlib.sha256(canonical_fields(_LABEL, previous, body)).digest()


def checkpoint_input(
    number: int, at: datetime, *, previous: bytes, first: int, before: bytes
) -> bytes:
    """Return what the signature of a checkpoint covers.

    Args:
        number: of the checkpoint's own entry.
        at: when it is made.
        previous: digest of the entry before it, and so the whole chain up to there.
        first: number of the first entry that is kept.
        before: digest of the entry before ``first``.
    """
    return canonical_fields(number, write_instant(at), previous, first, before)


def encode_stored(body: bytes, previous: bytes) -> dict[str, object]:
    """Return the mapping that the secret store holds for an entry; people can read it there."""
    return {
        "entry": body.decode(),
        "previous": previous.hex(),
        "digest": digest_of(body, previous).hex(),
    }


def decode_stored(data: Mapping[str, object]) -> tuple[bytes, bytes, bytes]:
    """Return body, previous digest and own digest as they are stored; nothing is checked.

    Raises:
        MalformedMessageError: not such a mapping.
    """
    body = data.get("entry")
    if data.keys() != {"entry", "previous", "digest"} or not isinstance(body, str):
        raise MalformedMessageError("not a stored audit entry: wrong fields")
    try:
        return body.encode(), read_digest(data["previous"]), read_digest(data["digest"])
    except UnicodeEncodeError as err:
        raise MalformedMessageError("not a stored audit entry: not text") from err


def _written(checkpoint: Checkpoint | None) -> _Checkpoint | None:
    if checkpoint is None:
        return None
    signature = b64encode(checkpoint.signature).decode()
    return _Checkpoint(checkpoint.first, checkpoint.before.hex(), checkpoint.signer, signature)


def _read(found: _Checkpoint | None, number: int) -> Checkpoint | None:
    if found is None:
        return None
    require(1 <= found.first <= number, "a checkpoint keeps what is later than itself")
    return Checkpoint(
        first=found.first,
        before=read_digest(found.before),
        signer=read_token(found.signer, "signer id"),
        signature=read_base64(found.signature),
    )


def read_digest(text: object) -> bytes:
    """Return the 32 bytes written in hexadecimal, or raise `MalformedMessageError`."""
    try:
        raw = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError as err:
        raise MalformedMessageError("a digest is hexadecimal") from err
    require(len(raw) == DIGEST_SIZE and raw.hex() == text, "a digest has 32 bytes")
    return raw
