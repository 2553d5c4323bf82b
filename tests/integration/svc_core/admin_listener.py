"""A running admin listener with certificates of the test's own, and a client made by hand."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from svc_core.adapters.admin_http import AdminListener, StatusPage
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.tls_contexts import server_context
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.config import AdminSettings
from svc_core.domain.identity import Deployment
from svc_core.runtime.health import Health
from tests.fakes.memory_certificate_issuer import Intermediate
from tests.tls_materials import make_material

READER = Deployment().spiffe_id("operator")
PAGE = {"instance": {"name": "g1"}}


@dataclass(frozen=True)
class Answer:
    """Status, body and whether the connection is kept, of one response."""

    status: int
    body: bytes
    is_last: bool = False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Caller:
    """One HTTP/1.1 connection, by hand: it shows when it is kept and when it is cut."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def certificate(self) -> bytes:
        tls: ssl.SSLObject = self.writer.get_extra_info("ssl_object")
        return tls.getpeercert(binary_form=True) or b""

    async def get(self, path: str, *, header: str = "") -> Answer:
        """Ask for ``path``; a connection that is cut raises."""
        extra = f"X-Extra: {header}\r\n" if header else ""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n".encode())
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next(
                int(line.split(":")[1])
                for line in head.splitlines()
                if line.startswith("content-length:")
            )
            body = await self.reader.readexactly(length)
            return Answer(int(head.split()[1]), body, "connection: close" in head)


class Listener:
    """A running admin listener and what it shows."""

    def __init__(self, **settings: Any) -> None:
        self.settings = AdminSettings(**{"port": free_port()} | settings)
        self.port = self.settings.port
        self.health = Health(SystemClock())
        self.registry = CollectorRegistry()
        self.identity = TlsIdentity(SystemClock(), server_context, server=True)
        self.admin = AdminListener(
            self.settings,
            self.identity.hot_context,
            self.health,
            self.registry,
            StatusPage(frozenset({READER}), lambda: PAGE),
        )

    async def adopt(self, issuer: Intermediate, trusted: Sequence[Intermediate]) -> None:
        await self.identity.adopt(make_material(issuer, server=True, trusted=trusted))

    def count(self, metric: str, **labels: str) -> float:
        """Return one metric as it is now."""
        return self.registry.get_sample_value(metric, labels) or 0.0

    @asynccontextmanager
    async def call(self, context: ssl.SSLContext | None) -> AsyncIterator[Caller]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        try:
            yield Caller(reader, writer)
        finally:
            writer.transport.abort()

    async def status(self, context: ssl.SSLContext, path: str = "/healthz") -> int:
        async with self.call(context) as caller:
            return (await caller.get(path)).status

    async def wait_until_it_listens(self) -> None:
        async with asyncio.timeout(5):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.01)
                else:
                    writer.transport.abort()
                    return


@asynccontextmanager
async def listening(
    issuer: Intermediate, trusted: Sequence[Intermediate] = (), **settings: Any
) -> AsyncIterator[Listener]:
    """Yield a listener with a certificate of ``issuer`` that trusts ``trusted``."""
    listener = Listener(**settings)
    await listener.adopt(issuer, trusted or [issuer])
    async with asyncio.TaskGroup() as group:
        running = group.create_task(listener.admin.run())
        await listener.wait_until_it_listens()
        try:
            yield listener
        finally:
            running.cancel()
