"""The census adds up all servers; one that does not answer keeps what it was last seen with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.watcher.domain.monitoring import LiveConnection
from services.watcher.flows.connection_census import ConnectionCensus
from svc_core.crypto.certificates import fingerprint
from svc_core.errors import BusError
from svc_core.runtime.wakeup import Wakeup
from tests.unit.watcher.scene import Scene, ca


@asynccontextmanager
async def counting(scene: Scene) -> AsyncIterator[ConnectionCensus]:
    """Yield a running census of the servers in ``scene``."""
    scene.reader.newest = scene.authority.state(1, 100, 99)
    census = ConnectionCensus(scene.reader, scene.cluster, Wakeup(), scene.around)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(census.run())
        await asyncio.sleep(0.01)
        yield census
        task.cancel()


def connected(scene: Scene, server: int, cid: int, epoch: int) -> None:
    """Add a connection with a leaf of one issuer."""
    shown = fingerprint(scene.authority.mint(epoch).pem)
    scene.servers[server].connections.append(LiveConnection(cid, "user", ("leaf", shown)))


async def test_connections_of_all_servers_add_up() -> None:
    scene = Scene()
    connected(scene, 0, 1, 100)
    connected(scene, 1, 1, 100)
    connected(scene, 2, 1, 99)

    async with counting(scene) as census:
        assert census.connections == {ca(): 2, ca(-1): 1}


async def test_a_server_that_does_not_answer_is_not_taken_for_an_empty_one() -> None:
    scene = Scene()
    connected(scene, 0, 1, 100)
    connected(scene, 2, 1, 99)

    async with counting(scene) as census:
        scene.servers[2].is_silent = True
        await asyncio.sleep(2)
        assert census.connections == {ca(): 1, ca(-1): 1}

        scene.servers[2].is_silent = False
        scene.servers[2].connections.clear()
        await asyncio.sleep(2)
        assert census.connections == {ca(): 1}


async def test_without_the_system_account_the_last_count_stands() -> None:
    scene = Scene()
    connected(scene, 0, 1, 99)

    async with counting(scene) as census:
        scene.cluster.failure = BusError("away")
        scene.servers[0].connections.clear()
        await asyncio.sleep(5)
        assert census.connections == {ca(-1): 1}

        scene.cluster.failure = None
        await asyncio.sleep(1)
        assert census.connections == {}


async def test_before_a_desired_state_is_known_nobody_is_counted_or_cut() -> None:
    scene = Scene()
    connected(scene, 0, 1, 100)
    census = ConnectionCensus(scene.reader, scene.cluster, Wakeup(), scene.around)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(census.run())
        await asyncio.sleep(5)
        task.cancel()

    assert (census.connections, scene.cluster.kicked) == ({}, [])
