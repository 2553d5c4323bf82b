"""The framing of one encryption: big-endian lengths before salt, IV and tag, then the rest."""

import struct
from typing import Final

from svc_core.domain.sealed import IV_SIZE, SALT_SIZE, TAG_SIZE, Sealed
from svc_core.errors import MalformedMessageError

_LAYOUT: Final = struct.Struct(f">i{SALT_SIZE}si{IV_SIZE}si{TAG_SIZE}s")
_LENGTHS: Final = (SALT_SIZE, IV_SIZE, TAG_SIZE)
OVERHEAD: Final = _LAYOUT.size
"""Bytes a framed encryption has beyond its plaintext: 72."""


def encode(sealed: Sealed) -> bytes:
    """Return ``int32 32 | salt | int32 12 | iv | int32 16 | tag | ciphertext``."""
    head = _LAYOUT.pack(SALT_SIZE, sealed.salt, IV_SIZE, sealed.iv, TAG_SIZE, sealed.tag)
    return head + sealed.ciphertext


def decode(raw: bytes) -> Sealed:
    """Return the parts in ``raw``.

    Raises:
        MalformedMessageError: too short, or a length that is not the fixed one.
    """
    if len(raw) < OVERHEAD:
        raise MalformedMessageError(f"{len(raw)} bytes are too short for an encryption")
    salt_size, salt, iv_size, iv, tag_size, tag = _LAYOUT.unpack_from(raw)
    if (salt_size, iv_size, tag_size) != _LENGTHS:
        raise MalformedMessageError("salt, iv or tag has not its fixed size")
    return Sealed(salt, iv, tag, raw[OVERHEAD:])
