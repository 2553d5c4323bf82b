"""One encoding per record: every other way to write the same values is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.errors import MalformedMessageError
from svc_core.wire.records import RecordCodec
from tests.vectors import avro_by_hand, vector_files
from tests.vectors.wire_codecs import RECORDS

SHIPPED = {
    codec.schema: RecordCodec.of(codec.schema, tag=codec.tag, limit=codec.limit or 0)
    for codec in RECORDS.values()
}
every_schema = pytest.mark.parametrize("schema", SHIPPED)
BUNDLE = vector_files.load("service_bundle").fields
PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=70),
    "bytes": st.binary(max_size=70),
    "long": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "null": st.none(),
}


def shape_of(schema: str) -> dict[str, Any]:
    return next(codec.by_hand() for codec in RECORDS.values() if codec.schema == schema)


def values(shape: Any) -> st.SearchStrategy[Any]:
    """Return values of an Avro schema."""
    if isinstance(shape, list):
        return st.one_of([values(part) for part in shape])
    if isinstance(shape, str):
        return PRIMITIVES[shape]
    if shape["type"] == "record":
        return st.fixed_dictionaries({f["name"]: values(f["type"]) for f in shape["fields"]})
    if shape["type"] == "map":
        return st.dictionaries(st.text(max_size=5), values(shape["values"]), max_size=4)
    return st.lists(values(shape["items"]), max_size=4)


@every_schema
@given(data=st.data())
def test_any_record_has_the_bytes_that_a_writer_by_hand_gives_it(
    schema: str, data: st.DataObject
) -> None:
    record = data.draw(values(shape_of(schema)))

    raw = SHIPPED[schema].encode(record)

    assert raw == SHIPPED[schema].tag + avro_by_hand.write(shape_of(schema), record)
    assert SHIPPED[schema].decode(raw) == record


LONGS = {"dead_letter": "sequence", "dilithium_key": "epochNumber", "signed_message": "caEpoch"}


@pytest.mark.parametrize("schema", LONGS)
@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        (b"\xd6\x00", "one byte too long"),
        (b"\xd6" + b"\x80" * 8 + b"\x00", "ten bytes"),
        (b"\xd6" + b"\x80" * 9 + b"\x00", "eleven bytes"),
        (b"\xd6" + b"\x80" * 8 + b"\x02", "65 bits"),
    ],
)
def test_an_integer_has_its_shortest_form(schema: str, instead: bytes, reason: str) -> None:
    codec, shape, name = SHIPPED[schema], shape_of(schema), LONGS[schema]
    marked = {**smallest_record(shape), name: 0x2B}
    raw = codec.encode(marked)
    assert raw.count(b"\x56") == 1, reason

    with pytest.raises(MalformedMessageError):
        codec.decode(raw.replace(b"\x56", instead))


def smallest_record(shape: dict[str, Any]) -> dict[str, Any]:
    return {f["name"]: _smallest(f["type"]) for f in shape["fields"]}


def _smallest(kind: Any) -> Any:
    if isinstance(kind, list):
        return None
    return {} if isinstance(kind, dict) else {"string": "", "bytes": b"", "long": 0}[kind]


def bundle_with(**fields: bytes) -> bytes:
    """Return the vector's bundle, the named fields replaced by raw Avro."""
    shape = shape_of("service_bundle")
    parts = [
        fields.get(f["name"], avro_by_hand.write(f["type"], BUNDLE[f["name"]]))
        for f in shape["fields"]
    ]
    return b"S1" + b"".join(parts)


ONE, TWO = b"\x02a\x02x", b"\x02b\x02y"
PERMISSION = b"\x02a\x02a\x01\x00"
SPELLINGS = {
    "keys out of order": {"signingKeys": b"\x04" + TWO + ONE + b"\x00"},
    "a key twice": {"signingKeys": b"\x04" + ONE + ONE + b"\x00"},
    "a key twice with another value": {"signingKeys": b"\x04" + ONE + b"\x02a\x02y\x00"},
    "two blocks": {"signingKeys": b"\x02" + ONE + b"\x02" + TWO + b"\x00"},
    "a block with its size": {"signingKeys": b"\x03\x10" + ONE + TWO + b"\x00"},
    "an inner map out of order": {"verifyKeys": b"\x02\x02m\x04" + TWO + ONE + b"\x00\x00"},
    "an array in two blocks": {"producers": b"\x02\x02t\x02\x02a\x02\x02b\x00\x00"},
    "a boolean that is 2": {"topicPermissions": b"\x02" + PERMISSION[:4] + b"\x02\x00\x00"},
    "text that is not UTF-8": {"profile": b"\x02\xff"},
    "text that is a surrogate": {"profile": b"\x06\xed\xa0\x80"},
    "a negative length": {"profile": b"\x01"},
}


def test_the_values_of_these_spellings_are_accepted_as_they_should_be_spelled() -> None:
    raw = bundle_with(
        signingKeys=b"\x04" + ONE + TWO + b"\x00",
        verifyKeys=b"\x02\x02m\x04" + ONE + TWO + b"\x00\x00",
        producers=b"\x02\x02t\x04\x02a\x02b\x00\x00",
        topicPermissions=b"\x02" + PERMISSION + b"\x00",
    )

    record = SHIPPED["service_bundle"].decode(raw)

    assert record["signingKeys"] == {"a": b"x", "b": b"y"}
    assert record["producers"] == {"t": ["a", "b"]}


@pytest.mark.parametrize("fields", SPELLINGS.values(), ids=SPELLINGS)
def test_any_other_spelling_is_an_error(fields: dict[str, bytes]) -> None:
    with pytest.raises(MalformedMessageError):
        SHIPPED["service_bundle"].decode(bundle_with(**fields))


@pytest.mark.parametrize(
    ("schema", "name", "index"),
    [
        ("signed_message", "batchProof", b"\x01"),
        ("signed_message", "batchProof", b"\x04"),
        ("authentication_request", "otp", b"\x01"),
        ("authentication_request", "otp", b"\x04"),
    ],
)
def test_a_branch_that_a_union_has_not_is_an_error(schema: str, name: str, index: bytes) -> None:
    shape = shape_of(schema)
    assert shape["fields"][-1]["name"] == name
    raw = SHIPPED[schema].encode({**smallest_record(shape), name: None})

    with pytest.raises(MalformedMessageError):
        SHIPPED[schema].decode(raw[:-1] + index)


@every_schema
def test_maps_are_written_in_order_however_they_were_put_together(schema: str) -> None:
    shape = shape_of(schema)
    maps = [f["name"] for f in shape["fields"] if isinstance(f["type"], dict)]
    record = next(
        v.fields for v in map(vector_files.load, vector_files.names()) if matches(v, schema)
    )
    turned = {**record, **{m: dict(reversed(record[m].items())) for m in maps}}

    assert SHIPPED[schema].encode(turned) == SHIPPED[schema].encode(record)


def matches(vector: vector_files.Vector, schema: str) -> bool:
    return (
        not vector.of_prototype
        and vector.codec in RECORDS
        and (RECORDS[vector.codec].schema == schema)
    )
