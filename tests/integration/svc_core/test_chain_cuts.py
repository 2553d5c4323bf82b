"""What a server lets in because a root signed it, Watcher cuts.

It is the one cell of the table that is not refused at once.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from services.watcher.adapters.system_account import NatsSystemAccount
from services.watcher.flows.connection_census import ConnectionCensus
from svc_core.adapters.nats_connection import NatsConnection, NatsUser
from svc_core.adapters.nats_link import LinkCredentials
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.tls_contexts import client_context
from svc_core.config import NatsSettings
from svc_core.domain.desired import TrustMode
from svc_core.domain.identity import GATEKEEPER, WATCHER_SYS, Deployment
from svc_core.domain.tls import TlsMaterial
from svc_core.flows.desired_reading import DesiredReader
from svc_core.runtime.wakeup import Wakeup
from tests.authority import Authority
from tests.builders import DEMO, make_surroundings
from tests.integration.svc_core.trusted_nodes import (
    CURRENT,
    WITHDRAWN,
    Authorities,
    Certified,
    Node,
    all_listen,
    running,
)

PATIENCE_S: Final = DEMO.liveness.total_seconds()
CUT_WITHIN_S: Final = PATIENCE_S + 30.0
"""The deadline of a test on a busy machine; the product itself is late by a second at most."""


class Caller:
    """One client that stays."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ping(self) -> None:
        self.writer.write(b"PING\r\n")
        while not (await self.reader.readline()).startswith(b"PONG"):
            if self.reader.at_eof():
                raise ConnectionResetError

    async def is_cut(self) -> bool:
        """Wait until the server ends it."""
        async with asyncio.timeout(CUT_WITHIN_S):
            while await self.reader.read(4096):
                pass
        return True


@asynccontextmanager
async def calling(node: Node, material: TlsMaterial) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", node.port, ssl=client_context(material), server_hostname="localhost"
    )
    caller = Caller(reader, writer)
    writer.write(b'CONNECT {"verbose":false,"lang":"python","version":"0"}\r\n')
    await caller.ping()
    yield caller
    writer.transport.abort()


@asynccontextmanager
async def system_account(node: Node, material: TlsMaterial) -> AsyncIterator[NatsSystemAccount]:
    credentials = LinkCredentials(client_context(material), material.issuer, material.chain_pem)
    connection = NatsConnection(
        NatsSettings(servers=(node.url,)),
        NatsUser(WATCHER_SYS, "test-census"),
        lambda: credentials,
        os.urandom,
    )
    await connection.swap()
    try:
        yield NatsSystemAccount(connection, 1)
    finally:
        await connection.close()


@pytest.mark.timeout(120)
async def test_in_mode_chain_a_withdrawn_issuers_connection_is_cut_and_the_others_stay(
    server_root: Path,
) -> None:
    authorities, authority = Authorities(), Authority(clock=SystemClock())
    desired = replace(authorities.desired(TrustMode.CHAIN), made_at=authority.clock.now())
    await authority.store_state(desired)
    reader = DesiredReader(authority.store, None, authority.statements, DEMO.name)
    await reader.read()
    good, withdrawn, watcher = (
        authorities.client(issuer, desired, Deployment().spiffe_id(user))
        for issuer, user in (
            (CURRENT, GATEKEEPER),
            (WITHDRAWN, GATEKEEPER),
            (CURRENT, WATCHER_SYS),
        )
    )
    with running(server_root / "cuts", authorities, desired, Certified("n1")) as [node]:
        await all_listen([node])
        async with (
            system_account(node, watcher) as system,
            calling(node, good) as stays,
            calling(node, withdrawn) as goes,
        ):
            around = make_surroundings(SystemClock())
            census = ConnectionCensus(reader, system, Wakeup(), around)
            async with asyncio.TaskGroup() as group:
                counting = group.create_task(census.run())
                assert await goes.is_cut()
                await stays.ping()
                counting.cancel()
