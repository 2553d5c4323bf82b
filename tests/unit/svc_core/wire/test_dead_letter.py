"""Dead letters: what was refused comes back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.errors import MalformedMessageError
from svc_core.wire.dead_letter import LIMIT, DeadLetter, decode, encode


@given(st.text(max_size=50), st.integers(0, 1 << 62), st.binary(max_size=2000))
def test_a_letter_survives_its_bytes(code: str, sequence: int, payload: bytes) -> None:
    letter = DeadLetter(code, "AUTH_STREAM", "auth.auth-request", sequence, payload)

    assert decode(encode(letter)) == letter


@given(st.binary(max_size=500))
def test_any_bytes_are_a_letter_or_refused(raw: bytes) -> None:
    for candidate in (raw, b"W1" + raw):
        try:
            letter = decode(candidate)
        except MalformedMessageError:
            continue
        assert encode(letter) == candidate


def test_a_whole_message_fits_and_more_is_refused() -> None:
    whole = DeadLetter("message.malformed", "AUTH_STREAM", "auth.auth-request", 1, b"x" * 65536)

    assert decode(encode(whole)) == whole
    with pytest.raises(ValueError, match="the limit is"):
        encode(DeadLetter("code", "stream", "subject", 1, b"x" * LIMIT))
