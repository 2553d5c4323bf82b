"""One Avro record behind a 2-byte format tag: the codec every binary message shares."""

import io
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final

import fastavro
from fastavro.types import Schema

from svc_core.errors import MalformedMessageError, OversizedMessageError

_PACKAGE: Final = "svc_core.wire"
_TAG_SIZE: Final = 2
_NOT_AVRO: Final = (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError)

Record = Mapping[str, Any]
"""Field values as Avro has them."""


def schema_text(name: str) -> dict[str, Any]:
    """Return the schema ``schemas/<name>.avsc`` as it is written, unparsed."""
    text = files(_PACKAGE).joinpath("schemas", f"{name}.avsc").read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


@dataclass(frozen=True, slots=True)
class RecordCodec:
    """Encodes and decodes one kind of record.

    The tag's first byte is odd: as the start of an untagged record it would be a negative string
    length, so tagged and untagged bytes cannot be taken for each other.
    """

    kind: str
    """What errors call it."""
    tag: bytes
    """2 bytes, or none for records of the prototype."""
    limit: int
    """Most bytes of one encoded record, tag included."""
    schema: Schema = field(repr=False)

    @classmethod
    def of(cls, name: str, *, tag: bytes, limit: int) -> "RecordCodec":
        """Make the codec of ``schemas/<name>.avsc``."""
        if len(tag) != _TAG_SIZE or not tag[0] & 1:
            raise ValueError("a tag has 2 bytes, the first of them odd")
        schema = fastavro.parse_schema(schema_text(name), _write_hint=False)
        return cls(name.replace("_", " "), tag, limit, schema)

    def encode(self, record: Record) -> bytes:
        """Return the tagged bytes of ``record``.

        Raises:
            ValueError: the result is larger than ``limit``.
        """
        raw = self._write(record)
        if len(raw) > self.limit:
            raise ValueError(f"{self.kind} has {len(raw)} bytes, the limit is {self.limit}")
        return raw

    def decode(self, raw: bytes) -> dict[str, Any]:
        """Return the record in ``raw``.

        Raises:
            OversizedMessageError: more than ``limit`` bytes.
            MalformedMessageError: no canonical record of this kind and nothing else.
        """
        if len(raw) > self.limit:
            raise OversizedMessageError(
                f"{self.kind} has {len(raw)} bytes, the limit is {self.limit}"
            )
        if not raw.startswith(self.tag):
            raise MalformedMessageError(f"not a {self.kind}: unknown format tag")
        stream = io.BytesIO(raw)
        stream.seek(len(self.tag))
        try:
            record = fastavro.schemaless_reader(stream, self.schema, None)
        except _NOT_AVRO as err:
            raise MalformedMessageError(f"not a {self.kind}: {type(err).__name__}") from err
        # Covers trailing bytes, duplicate map keys and over-long integers in one comparison.
        if not isinstance(record, dict) or self._write(record) != raw:
            raise MalformedMessageError(f"not a canonical {self.kind}")
        return record

    def _write(self, record: Record) -> bytes:
        stream = io.BytesIO()
        stream.write(self.tag)
        fastavro.schemaless_writer(stream, self.schema, record)
        return stream.getvalue()


def canonical_fields(*values: str | bytes | int | None) -> bytes:
    """Return ``values`` in an encoding that no other list of values has.

    Each is one kind byte (``s``, ``b``, ``i``, ``n``), a big-endian uint32 length and its bytes;
    integers are 8 bytes, signed, big-endian.
    """
    return b"".join(_canonical_field(value) for value in values)


def _canonical_field(value: str | bytes | int | None) -> bytes:
    if value is None:
        kind, body = b"n", b""
    elif isinstance(value, str):
        kind, body = b"s", value.encode()
    elif isinstance(value, bytes):
        kind, body = b"b", value
    else:
        kind, body = b"i", struct.pack(">q", value)
    return kind + struct.pack(">I", len(body)) + body
