"""The framing of an encryption: the prototype's layout, every size fixed and checked."""

import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from svc_core.domain.sealed import Sealed
from svc_core.errors import MalformedMessageError
from svc_core.wire import framing

SEALED = Sealed(b"s" * 32, b"i" * 12, b"t" * 16, b"text")
# Where the three lengths stand, and what they are.
LENGTHS = {"salt": (0, 32), "iv": (36, 12), "tag": (52, 16)}


def test_framing_is_the_prototypes() -> None:
    raw = framing.encode(SEALED)

    assert raw == (
        b"\0\0\0\x20" + b"s" * 32 + b"\0\0\0\x0c" + b"i" * 12 + b"\0\0\0\x10" + b"t" * 16 + b"text"
    )
    assert len(raw) - len(b"text") == framing.OVERHEAD == 72


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=12, max_size=12),
    st.binary(min_size=16, max_size=16),
    st.binary(max_size=200),
)
def test_every_part_is_where_the_layout_says(
    salt: bytes, iv: bytes, tag: bytes, ciphertext: bytes
) -> None:
    raw = framing.encode(Sealed(salt, iv, tag, ciphertext))

    assert (raw[4:36], raw[40:52], raw[56:72], raw[72:]) == (salt, iv, tag, ciphertext)
    assert [struct.unpack_from(">i", raw, at) for at, _ in LENGTHS.values()] == [
        (32,),
        (12,),
        (16,),
    ]
    assert framing.decode(raw) == Sealed(salt, iv, tag, ciphertext)


@pytest.mark.parametrize("size", range(framing.OVERHEAD))
def test_fewer_bytes_than_the_overhead_are_an_error(size: int) -> None:
    with pytest.raises(MalformedMessageError, match=f"{size} bytes are too short"):
        framing.decode(framing.encode(SEALED)[:size])


def test_an_encryption_of_nothing_is_the_overhead() -> None:
    nothing = Sealed(SEALED.salt, SEALED.iv, SEALED.tag, b"")

    assert framing.decode(framing.encode(nothing)) == nothing


@pytest.mark.parametrize("part", LENGTHS)
@given(claim=st.integers(-(2**31), 2**31 - 1))
def test_any_other_length_is_an_error(part: str, claim: int) -> None:
    at, size = LENGTHS[part]
    raw = bytearray(framing.encode(SEALED))
    struct.pack_into(">i", raw, at, claim if claim != size else size + 1)

    with pytest.raises(MalformedMessageError, match="fixed size"):
        framing.decode(bytes(raw))


@given(st.binary(max_size=40), st.binary(max_size=20), st.binary(max_size=30))
def test_what_is_framed_with_other_sizes_is_an_error(salt: bytes, iv: bytes, tag: bytes) -> None:
    assume((len(salt), len(iv), len(tag)) != (32, 12, 16))
    framed = b"".join(struct.pack(">i", len(part)) + part for part in (salt, iv, tag))

    with pytest.raises(MalformedMessageError):
        framing.decode(framed + bytes(framing.OVERHEAD))
