"""The network misbehaves, while connections are swapped and while they are not: nothing is lost.

Every case: messages flow, a fault begins, lasts, ends; afterwards everything that was acknowledged
has been delivered, each id is in the stream once, and traffic goes on. A few cases are drawn from
``CHAOS_SEED``; ``CHAOS_ALL=1`` runs all.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count, product
from pathlib import Path
from typing import Final

import pytest

from services.watcher.adapters.system_account import NatsSystemAccount
from svc_core.adapters.nats_connection import NatsConnection
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER_SYS
from svc_core.domain.stranding import Stranding
from svc_core.domain.subjects import AUTH_STREAM
from svc_core.errors import BusError
from tests.chaos.selection import selected
from tests.integration.background import complete, in_background
from tests.integration.connections import connected, credentials_of, declare
from tests.integration.svc_core.faulty_cluster import FaultyCluster, open_faulty_cluster
from tests.integration.svc_core.ledger import (
    RATE,
    RECOVERS_WITHIN_S,
    Ledger,
    Scene,
    swapping,
    traffic,
)
from tests.integration.svc_core.traffic import BINDING, report

DELAY_S: Final = 0.2
LASTS_S: Final = 5.0
"""Longer than a link may stay silent before it is given up."""
RESET_EVERY_S: Final = 0.7
MOVES_WITHIN_S: Final = 60.0
"""An election, should the third node have led the stream, and the pause before the next try."""
DRAWN: Final = 4


def delayed(cluster: FaultyCluster) -> None:
    for proxy in cluster.clients:
        proxy.delay(DELAY_S)


def deaf(cluster: FaultyCluster) -> None:
    for proxy in cluster.clients:
        proxy.deafen()


def mute(cluster: FaultyCluster) -> None:
    for proxy in cluster.clients:
        proxy.mute()


def reset(cluster: FaultyCluster) -> None:
    for proxy in cluster.clients:
        proxy.reset()


def black_hole(cluster: FaultyCluster) -> None:
    for proxy in cluster.clients:
        proxy.freeze()


def partition(cluster: FaultyCluster) -> None:
    """Cut the third node off from everybody."""
    for proxy in (cluster.clients[-1], *cluster.routes):
        proxy.freeze()


def isolation(cluster: FaultyCluster) -> None:
    """Cut the third node off from its peers; who is connected to it notices no silence."""
    for proxy in cluster.routes:
        proxy.freeze()


FAULTS: Final = {
    "delay": delayed,
    "half-open, answers stop": deaf,
    "half-open, requests stop": mute,
    "reset": reset,
    "black hole": black_hole,
    "partition": partition,
    "partition, peers only": isolation,
}
CASES: Final = list(product(FAULTS, ("outside swaps", "during swaps")))


@pytest.fixture(scope="module")
def faulty(server_root: Path) -> Iterator[FaultyCluster]:
    """A cluster between proxies, with every stream and durable."""
    with in_background(lambda: open_faulty_cluster(server_root / "faulty")) as running:
        complete(lambda: declare(running))
        yield running


def third_first(size: int) -> bytes:
    """Have a connection try the third node before the others."""
    return bytes(size * [2])


@pytest.fixture
async def scene(faulty: FaultyCluster) -> AsyncIterator[Scene]:
    ledger = Ledger(f"fault{os.getpid()}-{next(_runs)}")
    settings = faulty.through_proxies
    async with (
        connected(
            faulty,
            GATEKEEPER,
            settings=settings,
            credentials=lambda: credentials_of(faulty.renewed(GATEKEEPER)),
            entropy=third_first,
        ) as gatekeeper,
        connected(
            faulty,
            AUTHCONTROLLER,
            settings=settings,
            credentials=lambda: credentials_of(faulty.renewed(AUTHCONTROLLER)),
            entropy=third_first,
        ) as authcontroller,
    ):
        try:
            yield Scene(faulty, gatekeeper, authcontroller, ledger)
        finally:
            faulty.restore()


_runs = count()


@asynccontextmanager
async def connected_to_the_third(
    cluster: FaultyCluster, account: str
) -> AsyncIterator[NatsConnection]:
    """Yield a connection that could have gone to any node and is on the third."""
    others = cluster.clients[:-1]
    for proxy in others:
        proxy.sever()
    async with connected(cluster, account, settings=cluster.through_proxies) as connection:
        for proxy in others:
            proxy.restore()
        yield connection


@asynccontextmanager
async def consumed(ledger: Ledger, bus: NatsConnection) -> AsyncIterator[None]:
    """Take what is delivered meanwhile."""
    async with asyncio.TaskGroup() as group:
        consumer = group.create_task(bus.consume(BINDING, ledger.handle, ledger.refuse))
        try:
            yield
        finally:
            consumer.cancel()


async def befall(scene: Scene, fault: str) -> None:
    """Have ``fault`` last, and end it."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + LASTS_S
    FAULTS[fault](scene.cluster)
    while fault == "reset" and loop.time() + RESET_EVERY_S < ends_at:
        await asyncio.sleep(RESET_EVERY_S)
        reset(scene.cluster)
    if fault.startswith("partition"):
        await third_is_missed(scene.cluster)
    # How long a fault lasts is what is tested; nothing else is waited for.
    await asyncio.sleep(ends_at - loop.time())
    scene.cluster.restore()


async def third_is_missed(cluster: FaultyCluster) -> None:
    """Wait until the others have noticed that the third node does not follow."""
    third = cluster.endpoints.nats[-1].name
    async with connected(cluster, METADATA, settings=cluster.around_the_third) as metadata:
        async with asyncio.timeout(RECOVERS_WITHIN_S):
            while third not in await without(metadata):
                await asyncio.sleep(0.1)


async def without(metadata: NatsConnection) -> set[str]:
    """Return the nodes that the stream's leader has not heard from for a while."""
    with suppress(BusError):
        raw = await metadata.request_raw(f"$JS.API.STREAM.INFO.{AUTH_STREAM}", b"", timeout_s=1)
        replicas = json.loads(raw).get("cluster", {}).get("replicas", [])
        return {r["name"] for r in replicas if r.get("offline") or not r.get("current")}
    return set()


async def test_watcher_hears_the_majority_although_its_server_does_not(
    faulty: FaultyCluster,
) -> None:
    names = {node.name for node in faulty.endpoints.nats}
    async with connected_to_the_third(faulty, WATCHER_SYS) as connection:
        system = NatsSystemAccount(connection, len(names))
        heard: set[str] = set()
        try:
            async with asyncio.timeout(RECOVERS_WITHIN_S):
                while heard != names:
                    heard = set(await system.fetch_facts())
                isolation(faulty)
                while faulty.endpoints.nats[-1].name in heard:
                    heard = set(await system.fetch_facts())
        finally:
            faulty.restore()

    assert len(heard) == len(names) - 1
    assert connection.moves == {Stranding.ALONE: 1}


@pytest.mark.timeout(90)
async def test_who_is_on_a_server_without_peers_moves_to_one_with_a_majority(
    faulty: FaultyCluster,
) -> None:
    ledger = Ledger(f"stranded{os.getpid()}")
    async with (
        connected_to_the_third(faulty, GATEKEEPER) as gatekeeper,
        connected(faulty, AUTHCONTROLLER, settings=faulty.around_the_third) as authcontroller,
        consumed(ledger, authcontroller),
    ):
        try:
            await ledger.publish_one(gatekeeper)
            isolation(faulty)
            async with asyncio.timeout(MOVES_WITHIN_S):
                while not gatekeeper.moves:
                    await ledger.publish_one(gatekeeper)
            moved_to = gatekeeper.current_link
            await ledger.publish_one(gatekeeper)
        finally:
            faulty.restore()
        await ledger.until(lambda: not ledger.lost, what="everything acknowledged")

    assert moved_to is not None
    assert moved_to.url != faulty.through_proxies.servers[-1]
    assert (gatekeeper.moves.total(), gatekeeper.losses) == (1, 0)
    assert (ledger.doubled, ledger.refused, ledger.failed) == (set(), [], {})


@pytest.mark.chaos
@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    ("fault", "when"), selected(CASES, DRAWN), ids=lambda text: text.replace(" ", "-")
)
async def test_what_was_acknowledged_arrives_and_traffic_goes_on(
    scene: Scene, fault: str, when: str
) -> None:
    ledger = scene.ledger
    loop = asyncio.get_running_loop()
    async with traffic(scene), swapping(scene, when):
        await ledger.until(lambda: len(ledger.stored) > RATE / 4, what="traffic before")
        await befall(scene, fault)
        over_at = loop.time()
        later = await ledger.publish_one(scene.gatekeeper)
        await ledger.until(lambda: later in ledger.stored, what="traffic afterwards")
        resumed_s = loop.time() - over_at

    report(
        resumed_s=round(resumed_s, 2),
        acked=len(ledger.acked),
        redelivered=ledger.deliveries - len(ledger.stored),
        given_up=ledger.failed.total(),
        swaps=scene.swaps,
        swaps_failed=scene.swaps_failed.total(),
        losses=scene.gatekeeper.losses + scene.authcontroller.losses,
    )
    assert (ledger.lost, ledger.doubled, ledger.refused) == (set(), set(), [])
    assert later in ledger.acked
    assert (scene.swaps > 0) == ("during" in when)


async def test_a_proxy_without_a_fault_changes_nothing(scene: Scene) -> None:
    async with traffic(scene):
        await scene.ledger.until(lambda: len(scene.ledger.stored) > RATE, what="traffic")

    assert (scene.ledger.lost, scene.ledger.doubled, scene.ledger.failed) == (set(), set(), {})
    assert (scene.gatekeeper.losses, scene.authcontroller.losses) == (0, 0)
