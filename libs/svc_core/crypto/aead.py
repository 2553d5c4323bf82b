"""AES-256-GCM (NIST SP 800-38D) with an explicit key and nonce, and a tag of 16 bytes always.

Whoever calls this answers for the nonce: it must never repeat under one key. What travels between
services is made by `svc_core.crypto.sealing`, which takes a new key for each message.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError

KEY_SIZE: Final = 32
NONCE_SIZE: Final = 12
"""Bytes of every nonce made here, and the only size that needs no hashing."""
NONCE_SIZES: Final = range(8, 129)
"""Bytes a nonce may have: the standard allows from 1, the library computes 8 to 128."""
TAG_SIZE: Final = 16
MAX_SIZE: Final = 2**31 - 1 - TAG_SIZE
"""Bytes of the longest plaintext, and of the longest additional data."""


def encrypt(key: SecretBytes, plaintext: bytes, *, nonce: bytes, aad: bytes) -> bytes:
    """Return the ciphertext of ``plaintext``, as long as it, and behind it the 16-byte tag.

    Args:
        key: 32 bytes.
        plaintext: less than 2 GiB with the tag; may be empty.
        nonce: 12 bytes by default, 8 to 128 to talk to others; never twice under one key.
        aad: bound to the result, not part of it; may be empty.

    Raises:
        ValueError: a size out of range.
    """
    if len(nonce) not in NONCE_SIZES:
        raise ValueError(f"a nonce has {NONCE_SIZE} bytes (8 to 128 at most), not {len(nonce)}")
    if max(len(plaintext), len(aad)) > MAX_SIZE:
        raise ValueError(f"plaintext and additional data have at most {MAX_SIZE} bytes each")
    return _cipher(key).encrypt(nonce, plaintext, aad)


def decrypt(key: SecretBytes, encrypted: bytes, *, nonce: bytes, aad: bytes) -> bytes:
    """Return the plaintext, or raise; nothing in between.

    Args:
        key: 32 bytes.
        encrypted: ciphertext and tag as `encrypt` gives them, from a peer.
        nonce: from a peer.
        aad: what the ciphertext must be bound to.

    Raises:
        VerificationError: wrong key, nonce, aad or size, or changed bytes: all alike to a peer.
        ValueError: ``key`` is not 32 bytes.
    """
    cipher = _cipher(key)
    sizes_fit = max(len(encrypted) - TAG_SIZE, len(aad)) <= MAX_SIZE
    if not sizes_fit or len(nonce) not in NONCE_SIZES:
        raise VerificationError
    try:
        return cipher.decrypt(nonce, encrypted, aad)
    except InvalidTag:
        raise VerificationError from None


def _cipher(key: SecretBytes) -> AESGCM:
    if len(key) != KEY_SIZE:
        raise ValueError(f"an AES-256 key has {KEY_SIZE} bytes, not {len(key)}")
    return AESGCM(key.reveal())
