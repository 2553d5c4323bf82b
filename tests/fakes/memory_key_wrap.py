"""A `KeyWrap` in memory; what it wraps does not look like what went in."""

from base64 import b64decode, b64encode
from typing import Final

_PREFIX: Final = "memory:v1:"
_MASK: Final = 0x5A


class MemoryKeyWrap:
    """Masks every byte: enough to see that nothing is stored as it is."""

    async def wrap(self, plaintext: bytes) -> str:
        """Return the ciphertext as printable text."""
        return _PREFIX + b64encode(bytes(b ^ _MASK for b in plaintext)).decode()

    async def unwrap(self, wrapped: str) -> bytes:
        """Return the plaintext."""
        return bytes(b ^ _MASK for b in b64decode(wrapped.removeprefix(_PREFIX)))
