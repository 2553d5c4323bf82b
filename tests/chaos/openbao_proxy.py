"""A proxy in front of OpenBao that can be slow, answer errors, and lose what it was asked.

It ends TLS with the listener's own certificate, since a status can only be answered by who reads
requests.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import web

from devstack.layout import Layout
from devstack.stack import Stack

_BROKEN: Final = 500
_LONGEST_S: Final = 30.0
_PASSED_ON: Final = ("X-Vault-Token", "X-Vault-Request", "Content-Type")

Noticed = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class OpenBaoProxy:
    """Passes requests on, as long as nothing else was asked of it."""

    url: str
    """Of OpenBao."""
    session: aiohttp.ClientSession
    port: int = 0
    delay_s: float = 0.0
    """How long each request waits before it is passed on."""
    refuses: bool = False
    """Whether each request is answered with 500, and not passed on."""
    loses_answers: bool = False
    """Whether each request is passed on and then answered with 500."""
    trigger: str = ""
    """Part of a path: the first request that has it calls `noticed` before it is passed on."""
    noticed: Noticed | None = None
    troubled: int = 0
    """Requests that were delayed, refused, or whose answer was lost."""
    _waiting: set[asyncio.Event] = field(default_factory=set)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.read()
        if self.trigger and self.trigger in request.path and self.noticed is not None:
            self.trigger, noticed = "", self.noticed
            await noticed()
        if self.delay_s or self.refuses or self.loses_answers:
            self.troubled += 1
        if self.refuses or await self._is_cut():
            return web.Response(status=_BROKEN)
        is_lost = self.loses_answers
        try:
            answer = await self._passed_on(request, body)
        except aiohttp.ClientError:
            return web.Response(status=_BROKEN)
        return web.Response(status=_BROKEN) if is_lost else answer

    def hang_up(self) -> None:
        """Have every request that waits end without having been passed on."""
        for event in self._waiting:
            event.set()

    async def _is_cut(self) -> bool:
        if not self.delay_s:
            return False
        cut = asyncio.Event()
        self._waiting.add(cut)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.delay_s):
                    await cut.wait()
        finally:
            self._waiting.discard(cut)
        return cut.is_set()

    async def _passed_on(self, request: web.Request, body: bytes) -> web.Response:
        headers = {n: request.headers[n] for n in _PASSED_ON if n in request.headers}
        async with self.session.request(
            request.method, f"{self.url}{request.path_qs}", data=body, headers=headers
        ) as answer:
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                content_type=answer.content_type,
            )


@asynccontextmanager
async def open_openbao_proxy(stack: Stack) -> AsyncIterator[OpenBaoProxy]:
    """Yield a proxy in front of the OpenBao of ``stack``; nobody uses it yet."""
    layout: Layout = stack.layout
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls = layout.openbao / "tls"
    context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=layout.openbao_ca))
    limit = aiohttp.ClientTimeout(total=_LONGEST_S)
    async with aiohttp.ClientSession(connector=connector, timeout=limit) as session:
        proxy = OpenBaoProxy(stack.endpoints.openbao.url, session)
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
            await site.start()
            proxy.port = runner.addresses[0][1]
            yield proxy
        finally:
            proxy.hang_up()
            await runner.cleanup()
