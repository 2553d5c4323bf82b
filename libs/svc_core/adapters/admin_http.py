"""The admin listener: HTTPS with health, readiness and metrics, its certificate swapped live."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from svc_core.config import AdminSettings
from svc_core.errors import ConfigError
from svc_core.runtime.health import Health

_HANDSHAKE_TIMEOUT_S: Final = 5.0
_KEEPALIVE_S: Final = 15.0
_LARGEST_REQUEST: Final = 8 * 1024


class AdminListener:
    """``/healthz``, ``/readyz`` and ``/metrics`` for anyone who trusts the CA."""

    name: Final = "admin_listener"

    def __init__(
        self,
        settings: AdminSettings,
        context: Callable[[], Awaitable[ssl.SSLContext]],
        health: Health,
        registry: CollectorRegistry,
    ) -> None:
        """Prepare the listener.

        Args:
            context: waits for the first leaf and returns the permanent hot context.
        """
        self._settings = settings
        self._context = context
        self._health = health
        self._registry = registry

    async def run(self) -> None:
        """Listen as soon as there is a certificate, for ever."""
        context = await self._context()
        application = web.Application(client_max_size=_LARGEST_REQUEST)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(
            application,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_S,
            max_line_size=_LARGEST_REQUEST,
            max_field_size=_LARGEST_REQUEST,
        )
        await runner.setup()
        try:
            server = await self._listen(runner, context)
            async with server:
                await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _listen(
        self, runner: web.AppRunner, context: ssl.SSLContext
    ) -> asyncio.AbstractServer:
        if runner.server is None:
            raise ConfigError("the admin listener could not be set up")
        try:
            return await asyncio.get_running_loop().create_server(
                runner.server,
                self._settings.host,
                self._settings.port,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE_TIMEOUT_S,
            )
        except OSError as err:
            raise ConfigError(
                f"cannot listen on {self._settings.host}:{self._settings.port} "
                f"({err.strerror}); set `admin.port` to a free port"
            ) from err

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _readyz(self, _request: web.Request) -> web.Response:
        report = self._health.report()
        return web.json_response(report.as_document(), status=200 if report.ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
