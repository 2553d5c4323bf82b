"""`Sealed`: the parts of one AES-256-GCM encryption, as `svc_core.wire.framing` frames them."""

from typing import Final, NamedTuple

SALT_SIZE: Final = 32
IV_SIZE: Final = 12
TAG_SIZE: Final = 16


class Sealed(NamedTuple):
    """One encryption: public, and of no use without the secret it was made under."""

    salt: bytes
    """32 bytes, the HKDF salt."""
    iv: bytes
    """12 bytes."""
    tag: bytes
    """16 bytes."""
    ciphertext: bytes
