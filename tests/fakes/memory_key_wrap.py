"""A `KeyWrap` in memory; what it wraps does not look like what went in."""

import asyncio
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

_PREFIX: Final = "memory:v1:"
_MASK: Final = 0x5A


@dataclass
class MemoryKeyWrap:
    """Masks every byte: enough to see that nothing is stored as it is."""

    takes_s: float = 0
    """How long wrapping takes; others do something meanwhile."""

    async def wrap(self, plaintext: bytes) -> str:
        """Return the ciphertext as printable text."""
        await asyncio.sleep(self.takes_s)
        return _PREFIX + b64encode(bytes(b ^ _MASK for b in plaintext)).decode()

    async def unwrap(self, wrapped: str) -> bytes:
        """Return the plaintext."""
        return bytes(b ^ _MASK for b in b64decode(wrapped.removeprefix(_PREFIX)))
