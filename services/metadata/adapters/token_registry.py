"""`TokenRegistry` on OpenBao: the tokens that an AppRole's logins gave out, by their accessors."""

from collections.abc import Mapping
from typing import Any, Final

from svc_core.adapters.openbao import OpenBaoSession
from svc_core.domain.identity import ServiceName
from svc_core.errors import AccessDeniedError, NotFoundError, RequestRefusedError

_APPROLE_LOGIN: Final = "auth/approle/login"


class OpenBaoTokenRegistry:
    """Lists and ends tokens without ever learning one."""

    def __init__(self, session: OpenBaoSession) -> None:
        self._session = session

    async def fetch_accessors(self, service: ServiceName) -> frozenset[str]:
        """Return the accessor of every token that ``service`` logged in for.

        Raises:
            AccessDeniedError: the policy lets this process see no token at all.
        """
        answer = await self._session.call(lambda c: c.list("auth/token/accessors"), idempotent=True)
        names = answer["data"]["keys"] if answer else []
        found = {str(accessor): await self._look_up(accessor) for accessor in names}
        if not any(found.values()):
            # Its own token is among them, so this is no token that ended since.
            raise AccessDeniedError("OpenBao lets nobody look tokens up")
        return frozenset(accessor for accessor, facts in found.items() if _is_of(facts, service))

    async def revoke(self, accessor: str) -> None:
        """End one token; no error when it is gone already."""
        body = {"accessor": accessor}
        try:
            await self._session.call(
                lambda c: c.write_data("auth/token/revoke-accessor", data=body), idempotent=True
            )
        except (NotFoundError, RequestRefusedError):
            return

    async def _look_up(self, accessor: str) -> Mapping[str, Any]:
        body = {"accessor": accessor}
        try:
            answer = await self._session.call(
                lambda c: c.write_data("auth/token/lookup-accessor", data=body), idempotent=True
            )
        except (NotFoundError, RequestRefusedError, AccessDeniedError):
            # It ended since the list was made; OpenBao says 403 to that.
            return {}
        return (answer or {}).get("data") or {}


def _is_of(facts: Mapping[str, Any], service: ServiceName) -> bool:
    metadata = facts.get("meta") or {}
    return facts.get("path") == _APPROLE_LOGIN and metadata.get("role_name") == service
