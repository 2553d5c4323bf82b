"""`SecretStore` on OpenBao's KV v2 engine."""

from typing import Final

import hvac

from svc_core.adapters.openbao import OpenBaoSession
from svc_core.errors import NotFoundError, SecretStoreError
from svc_core.ports.secret_store import Document, Versioned

_MOUNT: Final = "secret"


class OpenBaoSecretStore:
    """Versioned documents in the KV v2 mount ``secret``."""

    def __init__(self, session: OpenBaoSession) -> None:
        self._session = session

    async def fetch(self, path: str) -> Versioned | None:
        """Return the newest version of ``path``, or None when there is none."""
        try:
            answer = await self._session.call(
                lambda c: c.read(f"{_MOUNT}/data/{path}"), idempotent=True
            )
        except NotFoundError:
            return None
        if answer is None or answer["data"].get("data") is None:
            return None
        try:
            return Versioned(answer["data"]["data"], int(answer["data"]["metadata"]["version"]))
        except (KeyError, TypeError, ValueError) as err:
            raise SecretStoreError(f"OpenBao answered without a version for {path}") from err

    async def store(self, path: str, data: Document, *, expected_version: int | None) -> int:
        """Write ``data`` under check-and-set and return the version it became."""
        options = {} if expected_version is None else {"cas": expected_version}
        body = {"data": dict(data), "options": options}
        answer = await self._session.call(
            lambda c: c.write_data(f"{_MOUNT}/data/{path}", data=body)
        )
        return int(answer["data"]["version"])

    async def fetch_names(self, path: str) -> tuple[str, ...]:
        """Return the names directly below ``path``."""
        try:
            answer = await self._session.call(
                lambda c: c.list(f"{_MOUNT}/metadata/{path}"), idempotent=True
            )
        except NotFoundError:
            return ()
        return tuple(answer["data"]["keys"]) if answer else ()

    async def remove(self, path: str) -> None:
        """Delete ``path`` with all its versions."""

        def work(client: hvac.Client) -> None:
            client.delete(f"{_MOUNT}/metadata/{path}")

        await self._session.call(work, idempotent=True)
