"""The admin listener: HTTPS with health, readiness, metrics and status, swapped live.

Health, readiness and metrics are for anyone; the status names issuers, versions and errors and is
for the certificates that the settings name.
"""

import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from svc_core.adapters.tls_contexts import HotContext
from svc_core.adapters.tls_listener import ListenerLimits, TlsListener, open_listening_socket
from svc_core.config import AdminSettings
from svc_core.errors import ConfigError
from svc_core.runtime.admin_metrics import AdminMetrics
from svc_core.runtime.health import Health

_LARGEST_REQUEST: Final = 8 * 1024
_MOST_HEADERS: Final = 64
_LINGER_S: Final = 2.0
_UNAUTHORISED: Final = 401
_FORBIDDEN: Final = 403


@dataclass(frozen=True, slots=True)
class StatusPage:
    """What ``/status`` says and to whom."""

    readers: frozenset[str]
    """SPIFFE ids; whose certificate names another gets 403, who shows none 401."""
    describe: Callable[[], Mapping[str, object]]
    """Returns JSON-shaped data as of now; nothing in it is secret."""


class AdminListener:
    """``/healthz``, ``/readyz``, ``/metrics`` for anyone who trusts the CA; ``/status`` for few."""

    name: Final = "admin_listener"

    def __init__(
        self,
        settings: AdminSettings,
        context: Callable[[], Awaitable[HotContext]],
        health: Health,
        registry: CollectorRegistry,
        status: StatusPage,
    ) -> None:
        """Prepare the listener.

        Args:
            settings: where it listens, and its limits.
            context: waits for the first leaf and returns the permanent hot context.
            health: what readiness is counted from.
            registry: what is exported; the listener's own metrics are added to it.
            status: the page for those who may know more.
        """
        self._settings = settings
        self._context = context
        self._health = health
        self._registry = registry
        self._status = status
        self._metrics = AdminMetrics(registry)
        self._listener: TlsListener | None = None
        self._metrics.read_connections(lambda: self.connections)

    @property
    def connections(self) -> int:
        """How many are open now."""
        return self._listener.connections if self._listener is not None else 0

    async def run(self) -> None:
        """Listen as soon as there is a certificate, for ever.

        Raises:
            ConfigError: the port is taken or the address is none of this machine's.
        """
        context = await self._context()
        settings = self._settings
        limits = ListenerLimits(
            settings.connections, settings.handshake_timeout, settings.former_connections
        )
        runner = self._runner()
        await runner.setup()
        try:
            if runner.server is None:
                raise ConfigError("the admin listener could not be set up")
            self._listener = TlsListener(limits, context, runner.server, self._metrics)
            await self._listener.serve(self._listening())
        finally:
            await runner.cleanup()

    def _runner(self) -> web.AppRunner:
        application = web.Application(client_max_size=_LARGEST_REQUEST)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._exposition)
        application.router.add_get("/status", self._describe)
        application.on_response_prepare.append(self._end_former)
        return web.AppRunner(
            application,
            access_log=None,
            # From the start of a connection on, so also the limit for its first request.
            keepalive_timeout=self._settings.request_timeout.total_seconds(),
            lingering_time=_LINGER_S,
            max_line_size=_LARGEST_REQUEST,
            max_field_size=_LARGEST_REQUEST,
            max_headers=_MOST_HEADERS,
        )

    def _listening(self) -> socket.socket:
        host, port = self._settings.host, self._settings.port
        try:
            return open_listening_socket(host, port)
        except OSError as err:
            raise ConfigError(
                f"cannot listen on {host}:{port} ({err.strerror}); set `admin.port` to a free port"
            ) from err

    async def _end_former(self, request: web.Request, response: web.StreamResponse) -> None:
        """Have the client come back with a new handshake once the certificate has changed."""
        if self._listener is not None and self._listener.is_former(request.transport):
            response.force_close()
            # The headers are made before this is called.
            response.headers["Connection"] = "close"

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _readyz(self, _request: web.Request) -> web.Response:
        report = self._health.report()
        return web.json_response(report.as_document(), status=200 if report.ready else 503)

    async def _exposition(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _describe(self, request: web.Request) -> web.Response:
        names = peer_names(request)
        if not names:
            return self._refuse(_UNAUTHORISED, "a client certificate is required")
        if len(names) > 1 or not names <= self._status.readers:
            return self._refuse(_FORBIDDEN, "this certificate may not read the status")
        return web.json_response(dict(self._status.describe()))

    def _refuse(self, code: int, reason: str) -> web.Response:
        self._metrics.forbidden(code)
        return web.json_response({"error": reason}, status=code)


def peer_names(request: web.Request) -> frozenset[str]:
    """Return the URIs in the client's verified certificate; a certificate without one has ``""``.

    Empty only for a client that showed no certificate.
    """
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if not certificate:
        return frozenset()
    names = frozenset(
        value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"
    )
    return names or frozenset({""})
