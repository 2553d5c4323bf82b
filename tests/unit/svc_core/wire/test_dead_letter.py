"""Dead letters: what was refused comes back as it was."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.errors import MalformedMessageError
from svc_core.wire.dead_letter import (
    HEADERS_LIMIT,
    LIMIT,
    PAYLOAD_LIMIT,
    DeadLetter,
    decode,
    encode,
    kept,
    kept_headers,
)
from tests.unit.svc_core.wire.strategies import dead_letters

LETTER = DeadLetter(
    "message.malformed", "AUTH_STREAM", "auth.auth-request", 41, b"refused bytes", payload_size=13
)
FORMER = bytes.fromhex(
    "5731226d6573736167652e6d616c666f726d656416415554485f53545245414d22617574682e617574682d"
    "72657175657374521a72656675736564206279746573"
)
"""The same letter as it was written before letters said more."""


@given(dead_letters())
def test_a_letter_survives_its_bytes(letter: DeadLetter) -> None:
    assert decode(encode(letter)) == letter


@given(st.binary(max_size=500))
def test_any_bytes_are_a_letter_or_refused(raw: bytes) -> None:
    for candidate in (raw, b"Y1" + raw):
        try:
            letter = decode(candidate)
        except MalformedMessageError:
            continue
        assert encode(letter) == candidate


@given(st.binary(max_size=500))
def test_any_bytes_are_a_letter_of_the_former_format_or_refused(raw: bytes) -> None:
    try:
        letter = decode(b"W1" + raw)
    except MalformedMessageError:
        return
    assert decode(encode(letter)) == letter


def test_a_letter_of_the_former_format_is_read() -> None:
    assert decode(FORMER) == LETTER


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"payload_size": 12}, "larger than its message", id="more than there was"),
        pytest.param({"deliveries": -1}, "negative", id="delivered less than never"),
    ],
)
def test_a_letter_that_contradicts_itself_is_refused(change: dict[str, int], reason: str) -> None:
    raw = encode(replace(LETTER, payload_size=change.get("payload_size", 13)))
    if "deliveries" in change:
        raw = encode(replace(LETTER, deliveries=change["deliveries"]))

    with pytest.raises(MalformedMessageError, match=reason):
        decode(raw)


def test_the_largest_message_with_the_largest_headers_fits() -> None:
    headers = kept_headers({"a": "x" * (HEADERS_LIMIT - 1), "b": "left out"})
    largest = replace(
        LETTER,
        payload=kept(b"x" * (1 << 20)),
        payload_size=1 << 20,
        headers=headers,
        refused_at=datetime(2026, 1, 2, tzinfo=UTC),
        refused_by="i" * 63,
    )

    raw = encode(largest)

    assert set(headers) == {"a"}
    assert len(raw) <= LIMIT
    assert decode(raw) == largest
    assert not largest.is_complete
    assert len(largest.payload) == PAYLOAD_LIMIT


def test_headers_that_are_no_text_are_kept_readable() -> None:
    assert kept_headers({"Trace": "a\udcff"}) == {"Trace": "a?"}


def test_more_than_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="the limit is"):
        encode(replace(LETTER, payload=b"x" * LIMIT, payload_size=LIMIT))
