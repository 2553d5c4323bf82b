"""What is written out by hand is what fastavro writes, and nothing else is read."""

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.wire.flat_records import FlatForm, flat_form

SCHEMA = {
    "type": "record",
    "name": "Flat",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "number", "type": "long"},
        {"name": "raw", "type": "bytes"},
        {"name": "maybe", "type": ["null", "bytes"]},
    ],
}
PARSED = fastavro.parse_schema(SCHEMA, _write_hint=False)
RECORDS = st.fixed_dictionaries(
    {
        "text": st.text(max_size=200),
        "number": st.integers(-(2**63), 2**63 - 1),
        "raw": st.binary(max_size=9000),
        "maybe": st.none() | st.binary(max_size=100),
    }
)


def form() -> FlatForm:
    found = flat_form(SCHEMA)
    assert found is not None
    return found


def by_fastavro(record: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, PARSED, record)
    return stream.getvalue()


@given(RECORDS)
def test_written_is_what_fastavro_writes_and_reads(record: dict[str, Any]) -> None:
    raw = form().write(record)

    assert raw == by_fastavro(record)
    assert fastavro.schemaless_reader(io.BytesIO(raw), PARSED, None) == record
    assert form().read(b"M1" + raw, 2) == record


@given(st.binary(max_size=200))
def test_any_bytes_are_the_one_encoding_of_a_record_or_an_error(raw: bytes) -> None:
    try:
        record = form().read(raw, 0)
    except (ValueError, IndexError):
        return
    assert by_fastavro(record) == raw


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(b"\x80\x00", id="zero in two bytes"),
        pytest.param(b"\x82\x80\x00", id="one in three bytes"),
        pytest.param(b"\xff" * 9 + b"\x02", id="66 bits"),
        pytest.param(b"\xff" * 10 + b"\x01", id="eleven bytes"),
        pytest.param(b"\x80" * 40, id="no end"),
    ],
)
def test_a_number_has_one_form(number: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        form().read(b"\x02a" + number + b"\x00\x00", 0)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_what_is_no_long_is_not_written(number: int) -> None:
    with pytest.raises(ValueError, match="long"):
        form().write({"text": "", "number": number, "raw": b"", "maybe": None})


@pytest.mark.parametrize("length", [b"\x01", b"\x04", b"\xfe\xff\xff\xff\x0f"])
def test_a_length_never_leads_beyond_the_end(length: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        form().read(length + b"a", 0)


def test_only_flat_schemas_have_a_form() -> None:
    nested = {"type": "record", "name": "N", "fields": [{"name": "a", "type": {"type": "map"}}]}

    assert flat_form(nested) is None
