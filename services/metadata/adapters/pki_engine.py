"""The few calls that mints make of OpenBao's PKI engine, with what is absent as None."""

from typing import Any, Final

from svc_core.adapters.openbao import OpenBaoSession
from svc_core.errors import NotFoundError, RequestRefusedError

ROOT_MOUNT: Final = "pki"


class PkiEngine:
    """Reads, writes and deletes below the PKI mounts.

    Every method may raise `SecretStoreError` (retry) or `AccessDeniedError`.
    """

    def __init__(self, session: OpenBaoSession) -> None:
        self._session = session

    async def read(self, path: str) -> dict[str, Any] | None:
        """Return what is at ``path``, None when there is no such thing."""
        try:
            answer = await self._session.call(lambda c: c.read(path), idempotent=True)
        except NotFoundError:
            return None
        except RequestRefusedError as err:
            if "unable to find" in str(err):
                return None
            raise
        return answer["data"] if answer else None

    async def list(self, path: str) -> dict[str, Any] | None:
        """Return the names below ``path`` and what is said of them, None when there are none."""
        try:
            answer = await self._session.call(lambda c: c.list(path), idempotent=True)
        except NotFoundError:
            return None
        return answer["data"] if answer else None

    async def write(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask for something and return the answer; `RequestRefusedError` when it is refused."""
        answer = await self._session.call(lambda c: c.write_data(path, data=body))
        return answer["data"] if answer else {}

    async def delete(self, path: str) -> None:
        """Delete ``path``; no error when it is gone."""
        try:
            await self._session.call(lambda c: c.delete(path), idempotent=True)
        except NotFoundError:
            return
