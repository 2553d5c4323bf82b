"""AES-256-GCM under a key of its own for every sealing.

The key comes from HKDF over a fresh 32-byte salt, so a nonce can repeat under one key only if a
salt repeats too.
"""

from collections.abc import Callable
from typing import Final

from svc_core.crypto import aead
from svc_core.crypto.kdf import derive_key
from svc_core.domain.sealed import IV_SIZE, SALT_SIZE, TAG_SIZE, Sealed
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError

SECRET_SIZE: Final = 32
_SIZES: Final = (SALT_SIZE, IV_SIZE, TAG_SIZE)


def seal(
    secret: SecretBytes,
    plaintext: bytes,
    *,
    info: bytes,
    aad: bytes,
    entropy: Callable[[int], bytes],
) -> Sealed:
    """Encrypt ``plaintext``; ``info`` and ``aad`` are bound to the result, not part of it.

    Args:
        secret: 32 bytes, a topic key or a KEM secret.
        plaintext: less than 2 GiB.
        info: label, topic and key id from `svc_core.crypto.kdf.labelled_info`.
        aad: the canonical header the ciphertext travels with.
        entropy: asked once, for salt and IV together (44 bytes).

    Raises:
        ValueError: ``secret`` is not 32 bytes, or ``plaintext`` is too long.
    """
    fresh = entropy(SALT_SIZE + IV_SIZE)
    salt, iv = fresh[:SALT_SIZE], fresh[SALT_SIZE:]
    encrypted = aead.encrypt(_key(secret, salt, info), plaintext, nonce=iv, aad=aad)
    return Sealed(salt, iv, encrypted[-TAG_SIZE:], encrypted[:-TAG_SIZE])


def unseal(secret: SecretBytes, sealed: Sealed, *, info: bytes, aad: bytes) -> bytes:
    """Return the plaintext, or raise; nothing in between.

    Raises:
        VerificationError: wrong secret, info, aad or sizes, or changed bytes: all alike to a peer.
        ValueError: ``secret`` is not 32 bytes.
    """
    if (len(sealed.salt), len(sealed.iv), len(sealed.tag)) != _SIZES:
        raise VerificationError
    key = _key(secret, sealed.salt, info)
    return aead.decrypt(key, sealed.ciphertext + sealed.tag, nonce=sealed.iv, aad=aad)


def _key(secret: SecretBytes, salt: bytes, info: bytes) -> SecretBytes:
    if len(secret) != SECRET_SIZE:
        raise ValueError(f"a sealing secret has {SECRET_SIZE} bytes, not {len(secret)}")
    return derive_key(secret, salt=salt, info=info)
