"""Avro for flat records, in both directions: every message pays for it (ADR-0014).

A record is flat when its fields are strings, bytes, longs, and bytes or null. The bytes are those
of fastavro (Avro 1.12, binary encoding), with which tests compare every record both ways. Reading
takes the one shortest form of every number only, so equal records have equal bytes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_SEVEN_BITS: Final = 0x7F
_MORE: Final = 0x80
_ODD_OR_MORE: Final = 0x81
_LONG_BITS: Final = 63
_TABLED: Final = 8192
_LONGEST_LONG: Final = 10

Record = Mapping[str, Any]
Writer = Callable[[Record], bytes]
Reader = Callable[[bytes, int], dict[str, Any]]


def _long(value: int) -> bytes:
    """Return the zigzag variable-length encoding of a signed 64-bit integer."""
    if value >> _LONG_BITS not in (0, -1):
        raise ValueError(f"{value} is no long")
    rest = (value << 1) ^ (value >> _LONG_BITS)
    out = bytearray()
    while rest > _SEVEN_BITS:
        out.append(rest & _SEVEN_BITS | _MORE)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_LENGTHS: Final = tuple(_long(length) for length in range(_TABLED))


def _bytes(value: bytes) -> bytes:
    length = len(value)
    return (_LENGTHS[length] if length < _TABLED else _long(length)) + value


def _string(value: str) -> bytes:
    return _bytes(value.encode())


def _null_or_bytes(value: bytes | None) -> bytes:
    return b"\x00" if value is None else b"\x02" + _bytes(value)


def _read_long(raw: bytes, at: int) -> tuple[int, int]:
    byte = raw[at]
    if byte <= _SEVEN_BITS:
        return (byte >> 1) ^ -(byte & 1), at + 1
    rest, shift, last = 0, 0, at + _LONGEST_LONG - 1
    while byte > _SEVEN_BITS:
        # Not only wrong: the shifts of a number as long as the message would take minutes.
        if at == last:
            raise ValueError("a number is no long")
        rest |= (byte & _SEVEN_BITS) << shift
        shift += 7
        at += 1
        byte = raw[at]
    if byte == 0:
        raise ValueError("a number is not in its shortest form")
    rest |= byte << shift
    if rest >> (_LONG_BITS + 1):
        raise ValueError("a number is no long")
    return (rest >> 1) ^ -(rest & 1), at + 1


def _read_bytes(raw: bytes, at: int) -> tuple[bytes, int]:
    length, at = _read_long(raw, at)
    end = at + length
    if not at <= end <= len(raw):
        raise ValueError("a length goes beyond the end")
    return raw[at:end], end


def _read_string(raw: bytes, at: int) -> tuple[str, int]:
    byte = raw[at]
    # Most lengths are below 64: one byte, even.
    if byte & _ODD_OR_MORE:
        value, end = _read_bytes(raw, at)
        return value.decode(), end
    end = at + 1 + (byte >> 1)
    if end > len(raw):
        raise ValueError("a length goes beyond the end")
    return raw[at + 1 : end].decode(), end


def _read_null_or_bytes(raw: bytes, at: int) -> tuple[bytes | None, int]:
    branch, at = _read_long(raw, at)
    if branch == 0:
        return None, at
    if branch != 1:
        raise ValueError("a union has no such branch")
    return _read_bytes(raw, at)


_FORMS: Final[
    Mapping[str, tuple[Callable[[Any], bytes], Callable[[bytes, int], tuple[Any, int]]]]
] = {
    "string": (_string, _read_string),
    "bytes": (_bytes, _read_bytes),
    "long": (_long, _read_long),
    "null|bytes": (_null_or_bytes, _read_null_or_bytes),
}


@dataclass(frozen=True, slots=True)
class FlatForm:
    """How records of one flat schema are written and read."""

    write: Writer
    """Raises what Python raises when a field is missing or of another type."""
    read: Reader
    """Reads from an offset to the end; raises `ValueError` or `IndexError` for anything else."""


def flat_form(schema: Mapping[str, Any]) -> FlatForm | None:
    """Return how to write and read records of ``schema``, or None when it is not flat.

    Args:
        schema: a record schema as JSON, unparsed.
    """
    kinds = [(field["name"], _kind(field["type"])) for field in schema["fields"]]
    if not all(kind in _FORMS for _, kind in kinds):
        return None
    puts = [(name, _FORMS[kind][0]) for name, kind in kinds]
    takes = [(name, _FORMS[kind][1]) for name, kind in kinds]

    def write(record: Record) -> bytes:
        return b"".join([put(record[name]) for name, put in puts])

    def read(raw: bytes, at: int) -> dict[str, Any]:
        record = {}
        for name, take in takes:
            record[name], at = take(raw, at)
        if at != len(raw):
            raise ValueError("bytes after the end")
        return record

    return FlatForm(write, read)


def _kind(written: object) -> str:
    if isinstance(written, list):
        return "|".join(str(part) for part in written)
    return str(written)
