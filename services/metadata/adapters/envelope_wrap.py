"""`KeyWrap` that has only a key wrapped, and seals under that key what may be large.

OpenBao then sees a hundred bytes however much there is, and what it wraps is not base64 within
base64. Who may not unwrap opens nothing either way.

``envelope:v1 <wrapped key> <base64 of salt, IV, tag and ciphertext as framed everywhere>``
"""

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final

from services.metadata.ports import KeyWrap
from svc_core.crypto import contexts, sealing
from svc_core.crypto.kdf import labelled_info
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import MalformedMessageError
from svc_core.runtime.aside import aside
from svc_core.wire import framing

_PREFIX: Final = "envelope:v1"
_FIELDS: Final = 3
_SMALL: Final = 64 << 10
"""Bytes that are sealed and encoded within a millisecond."""


class EnvelopeWrap:
    """Seals under a fresh key each time; what the inner wrap made itself is unwrapped, too."""

    def __init__(self, inner: KeyWrap, entropy: Callable[[int], bytes]) -> None:
        """Wrap by ``inner``.

        Args:
            inner: wraps the sealing keys.
            entropy: where keys, salts and IVs come from.
        """
        self._inner = inner
        self._entropy = entropy

    async def wrap(self, plaintext: bytes) -> str:
        """Return the ciphertext as printable text, a third longer than ``plaintext``."""
        key = SecretBytes(self._entropy(sealing.SECRET_SIZE))
        wrapped_key = await self._inner.wrap(key.reveal())
        sealed = await aside(
            lambda: self._sealed(key, wrapped_key, plaintext), is_small=len(plaintext) <= _SMALL
        )
        return f"{_PREFIX} {wrapped_key} {sealed}"

    async def unwrap(self, wrapped: str) -> bytes:
        """Return the plaintext.

        Raises:
            MalformedMessageError: it was not wrapped here.
            VerificationError: it was changed since.
        """
        if not wrapped.startswith(f"{_PREFIX} "):
            return await self._inner.unwrap(wrapped)
        fields = wrapped.split(" ")
        if len(fields) != _FIELDS:
            raise MalformedMessageError("an envelope has a key and a content")
        _, wrapped_key, sealed = fields
        key = SecretBytes(await self._inner.unwrap(wrapped_key))
        if len(key) != sealing.SECRET_SIZE:
            raise MalformedMessageError("an envelope has a key of another size")
        return await aside(
            lambda: _opened(key, wrapped_key, sealed), is_small=len(sealed) <= _SMALL
        )

    def _sealed(self, key: SecretBytes, wrapped_key: str, plaintext: bytes) -> str:
        info = _info(wrapped_key)
        sealed = sealing.seal(key, plaintext, info=info, aad=b"", entropy=self._entropy)
        return b64encode(framing.encode(sealed)).decode()


def _opened(key: SecretBytes, wrapped_key: str, sealed: str) -> bytes:
    try:
        raw = b64decode(sealed, validate=True)
    except ValueError:
        raise MalformedMessageError("the content of an envelope cannot be read") from None
    return sealing.unseal(key, framing.decode(raw), info=_info(wrapped_key), aad=b"")


def _info(wrapped_key: str) -> bytes:
    return labelled_info(contexts.SEAL_WRAPPED, wrapped_key.encode())
