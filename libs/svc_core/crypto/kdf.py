"""HKDF-SHA256 (RFC 5869) and the unambiguous encoding of its info."""

import struct
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from svc_core.domain.secrets import SecretBytes

MAX_DERIVED_SIZE: Final = 255 * 32
"""Bytes that one HKDF-SHA256 can give (RFC 5869, section 2.3)."""


def labelled_info(label: bytes, *parts: bytes) -> bytes:
    """Return ``label`` and ``parts``, each behind its length as a big-endian uint32.

    Two different lists never give the same bytes, so no part can take over another's role.
    """
    return b"".join(struct.pack(">I", len(part)) + part for part in (label, *parts))


def derive_key(secret: SecretBytes, *, salt: bytes, info: bytes, size: int = 32) -> SecretBytes:
    """Derive ``size`` key bytes from ``secret``.

    Args:
        secret: at least 16 bytes of full entropy (a topic key, a KEM secret).
        salt: fresh random bytes, public; empty stands for 32 zero bytes (RFC 5869, section 2.2).
        info: what the key is for, from `labelled_info`; may be empty.
        size: 1 to 8,160 bytes.

    Raises:
        ValueError: ``size`` is out of range.
    """
    if not 0 < size <= MAX_DERIVED_SIZE:
        raise ValueError(f"HKDF-SHA256 derives 1 to {MAX_DERIVED_SIZE} bytes, not {size}")
    hkdf = HKDF(algorithm=SHA256(), length=size, salt=salt, info=info)
    return SecretBytes(hkdf.derive(secret.reveal()))
