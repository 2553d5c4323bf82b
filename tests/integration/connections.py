"""`NatsConnection`s to a real cluster, and a wire to it that can be cut."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

from devstack.endpoints import port_of
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
from svc_core.ports.time import Entropy
from tests.integration.bare_stack import RunningCluster
from tests.integration.devstack import test_nats_accounts
from tests.integration.svc_core.fault_proxy import FaultProxy, open_fault_proxy

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
    entropy: Entropy = os.urandom,
) -> AsyncIterator[NatsConnection]:
    """Yield a connection of ``account`` that is up and kept up.

    Args:
        cluster: where to.
        account: as whom.
        settings: others than the cluster's.
        credentials: others than the cluster's.
        entropy: chooses the server to try first.
    """
    own = cluster.materials[account]
    connection = NatsConnection(
        settings or cluster.settings,
        NatsUser(account, f"test-{account}"),
        credentials or (lambda: credentials_of(own)),
        entropy,
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


@asynccontextmanager
async def wired(cluster: RunningCluster) -> AsyncIterator[tuple[FaultProxy, NatsSettings]]:
    """Yield a wire to the first node, and settings that reach the cluster over it only."""
    async with _open_wire(cluster.endpoints.nats[0].url) as (wire, url):
        yield wire, NatsSettings(servers=(url,), connect_timeout=timedelta(seconds=2))


@asynccontextmanager
async def wired_to_all(
    cluster: RunningCluster,
) -> AsyncIterator[tuple[list[FaultProxy], NatsSettings]]:
    """Yield a wire to every node, and settings that reach the cluster over those only."""
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(_open_wire(node.url)) for node in cluster.endpoints.nats
        ]
        settings = NatsSettings(
            servers=tuple(url for _, url in opened),
            connect_timeout=timedelta(seconds=1),
            ack_timeout=timedelta(seconds=0.3),
        )
        yield [wire for wire, _ in opened], settings


@asynccontextmanager
async def _open_wire(far: str) -> AsyncIterator[tuple[FaultProxy, str]]:
    async with open_fault_proxy(port_of(far)) as proxy:
        yield proxy, f"tls://127.0.0.1:{proxy.port}"
