"""`SignedDocument`: a body of canonical JSON, who signed it, and the signature.

The same object travels as bytes over NATS and lies as a JSON-able mapping in the secret store. The
signature covers `signing_input` under the context of the body's kind, and is checked over the
bytes as received, before they are parsed.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar

import msgspec

from svc_core.errors import MalformedMessageError
from svc_core.wire.fields import read_token
from svc_core.wire.records import RecordCodec, canonical_fields

LIMIT: Final = 96 * 1024
"""Most bytes of one encoded document."""

Body = TypeVar("Body", bound=msgspec.Struct)
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A number in a body; JSON alone would allow thousands of digits."""

_CODEC: Final = RecordCodec.of("signed_document", tag=b"E1", limit=LIMIT)


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """One signed statement; nothing in it is verified by decoding it."""

    body: bytes
    signer: str
    """Id of the key: Metadata's identity, or ``<service>/<instance>``."""
    signature: bytes = field(repr=False)


def signing_input(signer: str, body: bytes) -> bytes:
    """Return what the signature of a document covers: who says it, and all of it."""
    return canonical_fields(signer, body)


def encode(document: SignedDocument) -> bytes:
    """Return the bytes of ``document``.

    Raises:
        ValueError: they would be more than 96 KiB.
    """
    return _CODEC.encode(
        {
            "signer": document.signer,
            "body": document.body,
            "signature": document.signature,
        }
    )


def decode(raw: bytes) -> SignedDocument:
    """Return the document in ``raw``; its signature is not checked here.

    Raises:
        OversizedMessageError: more than 96 KiB.
        MalformedMessageError: no document.
    """
    record = _CODEC.decode(raw)
    signer = read_token(record["signer"], "signer id")
    return SignedDocument(record["body"], signer, record["signature"])


def encode_entry(document: SignedDocument) -> dict[str, object]:
    """Return ``document`` as the mapping that the secret store holds; bytes are base64."""
    return {
        "document": b64encode(document.body).decode(),
        "signature": b64encode(document.signature).decode(),
        "signer": document.signer,
    }


def decode_entry(entry: Mapping[str, object]) -> SignedDocument:
    """Return the document in ``entry``, or raise `MalformedMessageError`."""
    signer = entry.get("signer")
    if entry.keys() != {"document", "signature", "signer"} or not isinstance(signer, str):
        raise MalformedMessageError("not a signed document: wrong fields")
    return SignedDocument(
        body=read_base64(entry["document"]),
        signer=read_token(signer, "signer id"),
        signature=read_base64(entry["signature"]),
    )


def read_base64(value: object) -> bytes:
    """Return the bytes that ``value`` is the base64 text of, or raise `MalformedMessageError`."""
    if not isinstance(value, str):
        raise MalformedMessageError("base64 is text")
    try:
        raw = b64decode(value, validate=True)
    except (binascii.Error, ValueError) as err:
        raise MalformedMessageError("not base64") from err
    if b64encode(raw).decode() != value:
        raise MalformedMessageError("not canonical base64")
    return raw


def encode_json(body: msgspec.Struct) -> bytes:
    """Return ``body`` as canonical JSON: UTF-8, no white space, sorted names."""
    return msgspec.json.encode(body, order="sorted")


def decode_json(raw: bytes, kind: type[Body]) -> Body:
    """Return the ``kind`` in ``raw``.

    Raises:
        MalformedMessageError: not JSON, another shape, or not its canonical form.
    """
    try:
        body = msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise MalformedMessageError(f"not a {kind.__name__}") from err
    if encode_json(body) != raw:
        raise MalformedMessageError(f"not a canonical {kind.__name__}")
    return body
