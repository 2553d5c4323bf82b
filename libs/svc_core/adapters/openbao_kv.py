"""`SecretStore` on OpenBao's KV v2 engine."""

import json
from typing import Any, Final

import hvac

from svc_core.adapters.openbao import OpenBaoSession
from svc_core.errors import AccessDeniedError, NotFoundError, SecretStoreError, StaleWriteError
from svc_core.ports.secret_store import Document, Versioned

_MOUNT: Final = "secret"
_REPEATS: Final = 2


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
        """Write ``data`` under check-and-set and return the version it became.

        When the answer is lost, what is stored decides: the write happened, or it is repeated.
        """
        try:
            return await self._write(path, data, expected_version)
        except SecretStoreError:
            if expected_version is None:
                raise  # a repetition could undo what another writer did meanwhile
            return await self._settle(path, data, expected_version)

    async def _settle(self, path: str, data: Document, expected_version: int) -> int:
        unsettled: Exception | None = None
        for _ in range(_REPEATS):
            found = await self.fetch(path)
            version = found.version if found else 0
            if found and version == expected_version + 1 and _is_same(found.data, data):
                return version
            if version != expected_version:
                raise StaleWriteError("another writer was first")
            try:
                return await self._write(path, data, expected_version)
            except (SecretStoreError, StaleWriteError, AccessDeniedError) as err:
                # The first write may have arrived this late; to a create-only path that is 403.
                unsettled = err
        raise unsettled or SecretStoreError(f"the write to {path} is unsettled")

    async def _write(self, path: str, data: Document, expected_version: int | None) -> int:
        options = {} if expected_version is None else {"cas": expected_version}
        body: dict[str, Any] = {"data": dict(data), "options": options}
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


def _is_same(stored: Document, written: Document) -> bool:
    return json.dumps(stored, sort_keys=True) == json.dumps(dict(written), sort_keys=True)
