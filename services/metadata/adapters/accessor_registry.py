"""`AccessorRegistry` on OpenBao's AppRole method: secret-ids by their accessors."""

from datetime import datetime
from typing import Any, Final

from services.metadata.domain.accessors import SecretIdFacts
from svc_core.adapters.openbao import OpenBaoSession
from svc_core.domain.identity import ServiceName
from svc_core.errors import NotFoundError, SecretStoreError

_MADE_BY: Final = "made_by"
_ROTATION: Final = "rotation"


class OpenBaoAccessorRegistry:
    """Lists, describes and destroys secret-ids without ever learning one."""

    def __init__(self, session: OpenBaoSession) -> None:
        self._session = session

    async def fetch_accessors(self, service: ServiceName) -> frozenset[str]:
        """Return the accessor of every secret-id of ``service``, ended ones too."""
        path = f"auth/approle/role/{service}/secret-id"
        try:
            answer = await self._session.call(lambda c: c.list(path), idempotent=True)
        except NotFoundError:
            return frozenset()
        return frozenset(answer["data"]["keys"]) if answer else frozenset()

    async def describe(self, service: ServiceName, accessor: str) -> SecretIdFacts | None:
        """Return the facts about one secret-id; None when it has ended."""
        try:
            answer = await self._write(service, "lookup", accessor)
        except NotFoundError:
            return None
        data = (answer or {}).get("data")
        if not data:
            return None
        try:
            made_at = datetime.fromisoformat(str(data["creation_time"]))
        except (KeyError, ValueError) as err:
            raise SecretStoreError(f"OpenBao says not when {accessor} was made") from err
        by = (data.get("metadata") or {}).get(_MADE_BY)
        return SecretIdFacts(accessor, made_at, is_rotated=by == _ROTATION)

    async def destroy(self, service: ServiceName, accessor: str) -> None:
        """Destroy one secret-id; no error when it is gone already."""
        try:
            await self._write(service, "destroy", accessor)
        except NotFoundError:
            return

    async def _write(self, service: ServiceName, verb: str, accessor: str) -> dict[str, Any] | None:
        path = f"auth/approle/role/{service}/secret-id-accessor/{verb}"
        body = {"secret_id_accessor": accessor}
        answer: dict[str, Any] | None = await self._session.call(
            lambda c: c.write_data(path, data=body), idempotent=True
        )
        return answer
