"""Leaves for light clients, over one session with OpenBao."""

import asyncio

from devstack.bootstrap import log_in
from devstack.guests import LIGHT
from devstack.layout import Layout
from devstack.openbao_api import OpenBaoApi
from svc_core.errors import AccessDeniedError
from svc_core.ports.certificates import LeafRequest


class SessionIssuer:
    """`CertificateIssuer` over one keep-alive session, which logs in anew when its token ends."""

    def __init__(self, api: OpenBaoApi, layout: Layout) -> None:
        self._api = api
        self._layout = layout
        self._session: OpenBaoApi | None = None
        self._logging_in = asyncio.Lock()

    async def sign_leaf(self, request: LeafRequest) -> str:
        """Return the leaf certificate as PEM (without its chain)."""
        path = f"{request.mount}/issuer/{request.issuer}/sign/{request.role}"
        body = {"csr": request.csr_pem, "ttl": f"{int(request.ttl.total_seconds())}s"}
        session = await self._logged_in(None)
        try:
            answer = await session.write(path, body)
        except AccessDeniedError:
            answer = await (await self._logged_in(session)).write(path, body)
        return str(answer["data"]["certificate"]).strip() + "\n"

    async def _logged_in(self, stale: OpenBaoApi | None) -> OpenBaoApi:
        async with self._logging_in:
            if self._session is None or self._session is stale:
                self._session = await log_in(self._api, self._layout, LIGHT.name)
            return self._session
