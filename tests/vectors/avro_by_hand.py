"""A second reader and writer of Avro's binary form, written from its specification alone.

It shares nothing with the library that ships. The reader takes only what the writer makes: whole
input, shortest integers, arrays and maps in one block, keys once, and in order where asked.

Source: Apache Avro 1.12 specification, "Binary Encoding".
"""

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any] | list[Any] | str
LONGEST_VARINT = 10
INT64 = 1 << 63


class NotAvroError(ValueError):
    """The bytes are not the one encoding of a value of the schema."""


def write(schema: Schema, value: Any, *, ordered: bool = True) -> bytes:
    """Return ``value`` as the binary form of ``schema``; ``ordered`` sorts the keys of maps."""
    if isinstance(schema, list):
        index = next(i for i, branch in enumerate(schema) if _fits(branch, value))
        return _write_long(index) + write(schema[index], value, ordered=ordered)
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind == "record":
        assert isinstance(schema, dict)
        return b"".join(
            write(f["type"], value[f["name"]], ordered=ordered) for f in schema["fields"]
        )
    if kind == "array":
        assert isinstance(schema, dict)
        return _write_block([write(schema["items"], item, ordered=ordered) for item in value])
    if kind == "map":
        assert isinstance(schema, dict)
        pairs = sorted(value.items()) if ordered else value.items()
        return _write_block(
            [_write_text(k) + write(schema["values"], v, ordered=ordered) for k, v in pairs]
        )
    return PRIMITIVES[kind](value)


def read(schema: Schema, raw: bytes, *, ordered: bool = True) -> Any:
    """Return the value that ``raw`` is the binary form of, or raise `NotAvroError`."""
    reader = _Reader(raw, ordered)
    value = reader.value(schema)
    if reader.at != len(raw):
        raise NotAvroError("bytes behind the record")
    return value


class _Reader:
    def __init__(self, raw: bytes, ordered: bool) -> None:
        self.raw = raw
        self.at = 0
        self.ordered = ordered

    def value(self, schema: Schema) -> Any:
        if isinstance(schema, list):
            index = self.long()
            if not 0 <= index < len(schema):
                raise NotAvroError("no such branch of a union")
            return self.value(schema[index])
        kind = schema if isinstance(schema, str) else schema["type"]
        if isinstance(schema, dict) and kind == "record":
            return {f["name"]: self.value(f["type"]) for f in schema["fields"]}
        if isinstance(schema, dict) and kind == "array":
            return self.block(lambda: self.value(schema["items"]))
        if isinstance(schema, dict) and kind == "map":
            return self.map(schema["values"])
        return self.primitive(kind)

    def primitive(self, kind: str) -> Any:
        if kind == "null":
            return None
        if kind == "boolean":
            byte = self.take(1)[0]
            if byte > 1:
                raise NotAvroError("a boolean is 0 or 1")
            return byte == 1
        if kind == "long":
            return self.long()
        taken = self.take(self.long())
        if kind == "bytes":
            return taken
        try:
            return taken.decode()
        except UnicodeDecodeError as err:
            raise NotAvroError("not UTF-8") from err

    def map(self, values: Schema) -> dict[str, Any]:
        pairs = self.block(lambda: (self.primitive("string"), self.value(values)))
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys) or (self.ordered and keys != sorted(keys)):
            raise NotAvroError("keys twice or out of order")
        return dict(pairs)

    def block(self, item: Callable[[], Any]) -> list[Any]:
        count = self.long()
        if count < 0:
            raise NotAvroError("a block with its size")
        items = [item() for _ in range(count)]
        if count and self.long() != 0:
            raise NotAvroError("a second block")
        return items

    def long(self) -> int:
        number, size = 0, 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << 7 * size
            size += 1
            if byte < 0x80:
                break
            if size == LONGEST_VARINT:
                raise NotAvroError("an integer of more than ten bytes")
        if number >= 2 * INT64 or (size > 1 and byte == 0):
            raise NotAvroError("an integer in another than its shortest form")
        return (number >> 1) ^ -(number & 1)

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.raw) - self.at:
            raise NotAvroError("cut off")
        taken = self.raw[self.at : self.at + size]
        self.at += size
        return taken


def _fits(branch: Schema, value: Any) -> bool:
    wanted = {"null": type(None), "string": str, "bytes": bytes, "long": int}
    return isinstance(branch, str) and type(value) is wanted[branch]


def _write_block(items: list[bytes]) -> bytes:
    return (_write_long(len(items)) if items else b"") + b"".join(items) + b"\0"


def _write_long(value: int) -> bytes:
    number = value * 2 if value >= 0 else -value * 2 - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _write_bytes(value: bytes) -> bytes:
    return _write_long(len(value)) + value


def _write_text(value: str) -> bytes:
    return _write_bytes(value.encode())


def _write_boolean(value: bool) -> bytes:
    return b"\1" if value else b"\0"


def _write_null(_: None) -> bytes:
    return b""


PRIMITIVES: dict[str, Callable[[Any], bytes]] = {
    "string": _write_text,
    "bytes": _write_bytes,
    "long": _write_long,
    "boolean": _write_boolean,
    "null": _write_null,
}
