"""`NatsConnection`s to a real cluster, and a wire to it that can be cut."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from services.metadata.adapters.jetstream import JetStreamDeclaration
from svc_core.adapters.nats_connection import NatsConnection, NatsUser
from svc_core.adapters.nats_link import LinkCredentials
from svc_core.adapters.tls_contexts import client_context
from svc_core.config import NatsSettings
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA
from svc_core.domain.subjects import DURABLES, STREAMS
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import BusError
from svc_core.ports.bus import Binding, Delivery
from tests.integration.bare_stack import RunningCluster
from tests.integration.devstack import test_nats_accounts

_DRAINING_S: Final = 0.5

Credentials = Callable[[], LinkCredentials]


def credentials_of(material: TlsMaterial) -> LinkCredentials:
    """Return a fresh context with ``material``."""
    return LinkCredentials(client_context(material), material.issuer, material.chain_pem)


@asynccontextmanager
async def connected(
    cluster: RunningCluster,
    account: str,
    *,
    settings: NatsSettings | None = None,
    credentials: Credentials | None = None,
) -> AsyncIterator[NatsConnection]:
    """Yield a connection of ``account`` that is up and kept up."""
    own = cluster.materials[account]
    connection = NatsConnection(
        settings or cluster.settings,
        NatsUser(account, f"test-{account}"),
        credentials or (lambda: credentials_of(own)),
        os.urandom,
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(connection.run())
        try:
            async with asyncio.timeout(10):
                while not connection.is_connected:
                    await asyncio.sleep(0.01)
            yield connection
        finally:
            while not running.done():
                # A ping that is answered at this very moment swallows a cancel, so say it again.
                running.cancel()
                await asyncio.wait([running], timeout=0.1)
            await connection.close()


async def declare(cluster: RunningCluster) -> None:
    """Declare every stream and durable as Metadata does."""
    await test_nats_accounts.declare(cluster)
    async with connected(cluster, METADATA) as metadata, asyncio.timeout(30):
        declaration = JetStreamDeclaration(metadata)
        while True:
            with suppress(BusError):
                await declaration.declare([], DURABLES, replicas=3)
                break
        for stream in STREAMS:
            await metadata.request_raw(f"$JS.API.STREAM.INFO.{stream.name}", b"", timeout_s=5)


async def drain(cluster: RunningCluster) -> None:
    """Acknowledge everything that still waits for the two load services."""

    async def acknowledge(_delivery: Delivery) -> None:
        return

    async def refuse(_delivery: Delivery, _error: Exception) -> None:
        return

    for account, durable in ((AUTHCONTROLLER, DURABLES[0]), (GATEKEEPER, DURABLES[1])):
        async with connected(cluster, account) as bus:
            binding = Binding(durable.stream, durable.name)
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAINING_S):
                    await bus.consume(binding, acknowledge, refuse)


@dataclass
class Wire:
    """A TCP relay to one node whose connections can be cut or frozen."""

    host: str
    port: int
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    relayed: int = 0
    """Connections made over it so far."""

    def __post_init__(self) -> None:
        self._flows.set()

    @property
    def is_idle(self) -> bool:
        """Whether no connection is carried now."""
        return not self._ends

    def cut(self) -> None:
        """Break every connection at once, without a goodbye."""
        for end in tuple(self._ends):
            end.transport.abort()

    def freeze(self) -> None:
        """Carry no more bytes, but keep every connection open."""
        self._flows.clear()

    def thaw(self) -> None:
        """Carry bytes again."""
        self._flows.set()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends."""
        self.relayed += 1
        self._ends.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.transport.abort()
            return
        self._ends.add(far_writer)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._carry(reader, far_writer))
            group.create_task(self._carry(far_reader, writer))
        self._ends -= {writer, far_writer}

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                await self._flows.wait()
                sink.write(data)
                await sink.drain()
        sink.transport.abort()


@asynccontextmanager
async def wired(cluster: RunningCluster) -> AsyncIterator[tuple[Wire, NatsSettings]]:
    """Yield a wire to the first node, and settings that reach the cluster over it only."""
    host, _, port = cluster.endpoints.nats[0].url.removeprefix("tls://").partition(":")
    wire = Wire(host, int(port))
    server = await asyncio.start_server(wire.relay, "127.0.0.1", 0)
    own_port = server.sockets[0].getsockname()[1]
    try:
        yield (
            wire,
            NatsSettings(
                servers=(f"tls://127.0.0.1:{own_port}",), connect_timeout=timedelta(seconds=2)
            ),
        )
    finally:
        wire.cut()
        server.close()
