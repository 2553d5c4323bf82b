"""What a node keeps about connections that have ended, which every rotation makes more of."""

import asyncio
import json
from typing import Final

import nats
import pytest
from nats.aio.client import Client

from devstack.endpoints import port_of
from svc_core.domain.identity import GATEKEEPER, WATCHER_SYS
from tests.integration.bare_stack import RunningCluster

ENDED: Final = 300
KEPT: Final = 256
CLOSED: Final = 1
"""What the server calls the state of a connection that has ended."""


async def connect(cluster: RunningCluster, account: str) -> Client:
    """Connect to the first node."""
    return await nats.connect(
        cluster.endpoints.nats[0].url,
        tls=cluster.context(account),
        tls_handshake_first=True,
        inbox_prefix=f"_INBOX_{account}",
        allow_reconnect=False,
    )


async def id_of_the_first(cluster: RunningCluster) -> str:
    """Return the id that the first node greets everybody with."""
    port = port_of(cluster.endpoints.nats[0].url)
    context = cluster.context(WATCHER_SYS)
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    try:
        found: str = json.loads((await reader.readline()).removeprefix(b"INFO "))["server_id"]
    finally:
        writer.close()
    return found


@pytest.mark.timeout(60)
async def test_a_node_remembers_a_bounded_number_of_ended_connections(
    nats_cluster: RunningCluster,
) -> None:
    for _ in range(ENDED):
        await (await connect(nats_cluster, GATEKEEPER)).close()

    asked = json.dumps({"state": CLOSED, "limit": 4 * ENDED}).encode()
    subject = f"$SYS.REQ.SERVER.{await id_of_the_first(nats_cluster)}.CONNZ"
    system = await connect(nats_cluster, WATCHER_SYS)
    try:
        answer = await system.request(subject, asked, timeout=3)
    finally:
        await system.close()

    assert len(json.loads(answer.data)["data"]["connections"]) == KEPT
