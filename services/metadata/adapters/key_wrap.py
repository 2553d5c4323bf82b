"""`KeyWrap` on OpenBao's transit engine, under a key only Metadata may use.

Wrapping a whole generation of ten thousand topics there takes half as long again, most of it for
base64 within base64, and a request of two megabytes; so only the sealing keys go there.
"""

from base64 import b64decode, b64encode
from typing import Final

from services.metadata.adapters.envelope_wrap import EnvelopeWrap
from svc_core.adapters.openbao import OpenBaoSession
from svc_core.adapters.system_entropy import system_entropy

_KEY: Final = "bundle-master"


class TransitKeyWrap(EnvelopeWrap):
    """Wraps what is stored, so that a storage snapshot or a stolen read token opens nothing."""

    def __init__(self, session: OpenBaoSession) -> None:
        super().__init__(_Transit(session), system_entropy)


class _Transit:
    """The engine itself: text begins with ``vault:v``."""

    def __init__(self, session: OpenBaoSession) -> None:
        self._session = session

    async def wrap(self, plaintext: bytes) -> str:
        """Return the ciphertext as ``vault:v1:…`` text."""
        body = {"plaintext": b64encode(plaintext).decode()}
        answer = await self._session.call(
            lambda c: c.write_data(f"transit/encrypt/{_KEY}", data=body), idempotent=True
        )
        return str(answer["data"]["ciphertext"])

    async def unwrap(self, wrapped: str) -> bytes:
        """Return the plaintext."""
        answer = await self._session.call(
            lambda c: c.write_data(f"transit/decrypt/{_KEY}", data={"ciphertext": wrapped}),
            idempotent=True,
        )
        return b64decode(answer["data"]["plaintext"])
