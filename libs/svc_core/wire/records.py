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
from svc_core.wire.flat_records import FlatForm, flat_form

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
    flat: FlatForm | None = field(default=None, repr=False)
    """The quicker way to write and read a flat record."""
    orders_maps: bool = False
    """Whether maps have one order, that of their keys; records of the prototype have any."""

    @classmethod
    def of(cls, name: str, *, tag: bytes, limit: int) -> "RecordCodec":
        """Make the codec of ``schemas/<name>.avsc``."""
        if len(tag) != _TAG_SIZE or not tag[0] & 1:
            raise ValueError("a tag has 2 bytes, the first of them odd")
        text = schema_text(name)
        schema = fastavro.parse_schema(text, _write_hint=False)
        kind = name.replace("_", " ")
        return cls(kind, tag, limit, schema, flat_form(text), orders_maps=_has_map(text))

    @classmethod
    def of_prototype(cls, name: str, *, fields: int, limit: int) -> "RecordCodec":
        """Make the codec of the first ``fields`` fields of ``schemas/<name>.avsc``, untagged."""
        text = schema_text(name)
        shape = {**text, "fields": text["fields"][:fields]}
        schema = fastavro.parse_schema(shape, _write_hint=False)
        return cls(f"prototype's {text['name']}", b"", limit, schema)

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
        try:
            if self.flat is not None:
                return self.flat.read(raw, len(self.tag))
            record = self._read(raw)
        except _NOT_AVRO as err:
            raise MalformedMessageError(
                f"not a canonical {self.kind}: {type(err).__name__}"
            ) from err
        # Covers trailing bytes, over-long integers, and maps out of order or with a key twice.
        if not isinstance(record, dict) or self._write(record) != raw:
            raise MalformedMessageError(f"not a canonical {self.kind}")
        return record

    def _read(self, raw: bytes) -> object:
        stream = io.BytesIO(raw)
        stream.seek(len(self.tag))
        return fastavro.schemaless_reader(stream, self.schema, None)

    def _write(self, record: Record) -> bytes:
        if self.flat is not None:
            return self.tag + self.flat.write(record)
        stream = io.BytesIO()
        stream.write(self.tag)
        fastavro.schemaless_writer(
            stream, self.schema, _in_order(record) if self.orders_maps else record
        )
        return stream.getvalue()


def _has_map(schema: object) -> bool:
    if isinstance(schema, list):
        return any(_has_map(part) for part in schema)
    if isinstance(schema, dict):
        return schema.get("type") == "map" or _has_map(list(schema.values()))
    return False


def _in_order(record: Record) -> dict[str, object]:
    return {
        key: _in_order(value) if isinstance(value, dict) else value
        for key, value in sorted(record.items())
    }


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
