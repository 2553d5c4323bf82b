"""`Sealed`: the parts of one AES-256-GCM encryption, as values of fixed size."""

from dataclasses import dataclass
from typing import Final

SALT_SIZE: Final = 32
IV_SIZE: Final = 12
TAG_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class Sealed:
    """One encryption: public, and of no use without the secret it was made under."""

    salt: bytes
    """32 bytes, the HKDF salt."""
    iv: bytes
    """12 bytes."""
    tag: bytes
    """16 bytes."""
    ciphertext: bytes

    def __post_init__(self) -> None:
        sizes = (len(self.salt), len(self.iv), len(self.tag))
        if sizes != (SALT_SIZE, IV_SIZE, TAG_SIZE):
            raise ValueError(f"salt, iv and tag have {sizes} bytes")
