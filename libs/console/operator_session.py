"""The operator's session with OpenBao, for as long as one command needs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from console.stack_commands import NoStackError
from devstack.bootstrap import log_in
from devstack.endpoints import read_endpoints
from devstack.layout import OPERATOR, Layout
from devstack.openbao_api import OpenBaoApi, open_openbao_api
from svc_core.errors import SvcError


@asynccontextmanager
async def open_operator_session(layout: Layout, url: str = "") -> AsyncIterator[OpenBaoApi]:
    """Yield OpenBao as the operator sees it; the token is given back at the end.

    Args:
        layout: of the stack, with the operator's credentials.
        url: of an OpenBao that somebody else runs; empty: that of the stack.

    Raises:
        NoStackError: there is no stack, and no ``url``.
        AccessDeniedError: OpenBao refuses the operator.
    """
    if not url:
        endpoints = read_endpoints(layout)
        if endpoints is None:
            raise NoStackError(layout.root)
        url = endpoints.openbao.url
    async with open_openbao_api(url, layout.openbao_ca) as api:
        session = await log_in(api, layout, OPERATOR)
        try:
            yield session
        finally:
            # A token that is not given back ends by itself within the hour.
            with suppress(SvcError):
                await session.write("auth/token/revoke-self")
