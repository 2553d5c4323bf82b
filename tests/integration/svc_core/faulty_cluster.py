"""Three real NATS nodes between proxies: whoever speaks to them, and the third node's routes.

Its certificates are made here, so that it needs no OpenBao; accounts, roles and configuration are
those of every other cluster. Everybody reaches the third node over proxies, its peers too, and it
reaches them over proxies: so it can be cut off as a network would, with both sides alive.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from benchmarks.certificates import BenchAuthority
from devstack.conditions import wait_until
from devstack.endpoints import Endpoints, NatsEndpoint, OpenBaoEndpoint, port_of
from devstack.layout import NODES, Layout
from devstack.nats_nodes import node_config, prepare_nodes, start_nodes
from devstack.ports import choose_ports
from devstack.processes import open_supervisor
from devstack.registry import Registry
from svc_core.adapters.files import publish_directory, write_private
from svc_core.adapters.system_clock import SystemClock
from svc_core.config import NatsSettings
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER_SYS
from svc_core.domain.nats_accounts import render_accounts
from svc_core.domain.tls import TlsMaterial
from tests.integration.bare_stack import DEPLOYMENT, GRANTS, RunningCluster
from tests.integration.svc_core.fault_proxy import FaultProxy, open_fault_proxy

USERS: Final = (METADATA, GATEKEEPER, AUTHCONTROLLER, WATCHER_SYS)
_WITHIN: Final = timedelta(seconds=20)
_JOINED: Final = "Route connection created"
_ADVERTISED: Final = "no_advertise: true\n"


@dataclass(frozen=True, slots=True)
class FaultyCluster(RunningCluster):
    """A cluster whose connections can be made to misbehave."""

    authority: BenchAuthority
    clients: Sequence[FaultProxy]
    """In front of each node, for whoever speaks to it."""
    routes: Sequence[FaultProxy]
    """Between the third node and the others, both ways."""

    @property
    def through_proxies(self) -> NatsSettings:
        """Settings that reach every node over its proxy only."""
        return NatsSettings(servers=tuple(f"tls://127.0.0.1:{p.port}" for p in self.clients))

    @property
    def around_the_third(self) -> NatsSettings:
        """Settings of somebody whom no fault concerns."""
        return NatsSettings(servers=tuple(node.url for node in self.endpoints.nats[:2]))

    def renewed(self, account: str) -> TlsMaterial:
        """Return a new certificate for ``account``."""
        return self.authority.client(account, now=SystemClock().now(), entropy=os.urandom)

    def restore(self) -> None:
        """End every fault."""
        for proxy in (*self.clients, *self.routes):
            proxy.restore()


@asynccontextmanager
async def open_faulty_cluster(root: Path) -> AsyncIterator[FaultyCluster]:
    """Start it in ``root``; the first two nodes know each other before the third comes."""
    layout = Layout.at(root)
    nodes = _plan(layout)
    authority = BenchAuthority.make("ca-1-1", now=SystemClock().now())
    prepare_nodes(layout, nodes, DEPLOYMENT)
    _write_material(nodes, authority)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(open_fault_proxy(port_of(node.url))) for node in nodes
        ]
        routes = await _reroute(stack, layout, nodes)
        supervisor = await stack.enter_async_context(
            open_supervisor(
                Registry(layout.root / "cluster.json"), keep=False, announce=lambda _: None
            )
        )
        await start_nodes(supervisor, layout, nodes[:2], live_within=_WITHIN)
        await _joined(layout, nodes[:2])
        await start_nodes(supervisor, layout, nodes[2:], live_within=_WITHIN)
        materials: dict[str, TlsMaterial] = {
            user: authority.client(user, now=SystemClock().now(), entropy=os.urandom)
            for user in USERS
        }
        # Only the nodes of it are ever looked at.
        openbao = OpenBaoEndpoint(url="https://127.0.0.1:1", ca_file="", cluster_port=0)
        endpoints = Endpoints(profile="testing", openbao=openbao, nats=tuple(nodes), admin={})
        yield FaultyCluster(endpoints, materials, authority, clients, routes)


def _plan(layout: Layout) -> list[NatsEndpoint]:
    names = [name for node in NODES for name in (node, f"{node}-route")]
    ports = choose_ports(names, remembered={}, base_port=None, seed=str(layout.root))
    return [
        NatsEndpoint(
            name=name,
            url=f"tls://127.0.0.1:{ports[name]}",
            route_port=ports[f"{name}-route"],
            pid_file=str(layout.node(name) / "nats.pid"),
            live_dir=str(layout.node(name) / "live"),
        )
        for name in NODES
    ]


def _write_material(nodes: Sequence[NatsEndpoint], authority: BenchAuthority) -> None:
    now = SystemClock().now()
    accounts = render_accounts(GRANTS, DEPLOYMENT).encode()
    for node in nodes:
        server = authority.server(now=now, entropy=os.urandom)
        route = authority.peer(now=now, entropy=os.urandom)
        files = {
            "ca.pem": authority.pem.encode(),
            "route-ca.pem": authority.pem.encode(),
            "server.pem": server.chain_pem.encode(),
            "server-key.pem": server.key_pem.reveal(),
            "route.pem": route.chain_pem.encode(),
            "route-key.pem": route.key_pem.reveal(),
            "accounts.conf": accounts,
        }
        publish_directory(Path(node.live_dir), files)


async def _reroute(
    stack: AsyncExitStack, layout: Layout, nodes: Sequence[NatsEndpoint]
) -> list[FaultProxy]:
    """Let every route to or from the last node run over a proxy, those it hears of as well."""
    *others, last = nodes
    to_last = await stack.enter_async_context(open_fault_proxy(last.route_port))
    from_last = [
        await stack.enter_async_context(open_fault_proxy(node.route_port)) for node in others
    ]
    seen_by_last = [_at(node, proxy) for node, proxy in zip(others, from_last, strict=True)]
    for node, proxy in zip(others, from_last, strict=True):
        _write_config(layout, node, [*others, _at(last, to_last)], advertised=proxy.port)
    _write_config(layout, last, [*seen_by_last, last], advertised=to_last.port)
    return [to_last, *from_last]


def _at(node: NatsEndpoint, proxy: FaultProxy) -> NatsEndpoint:
    return replace(node, route_port=proxy.port)


def _write_config(
    layout: Layout, node: NatsEndpoint, peers: Sequence[NatsEndpoint], *, advertised: int
) -> None:
    directory = layout.node(node.name)
    text = node_config(directory, node, peers, DEPLOYMENT)
    place = f'{_ADVERTISED}  advertise: "127.0.0.1:{advertised}"\n'
    write_private(directory / "nats.conf", text.replace(_ADVERTISED, place).encode())


async def _joined(layout: Layout, nodes: Sequence[NatsEndpoint]) -> None:
    logs: Mapping[str, Path] = {node.name: layout.node(node.name) / "nats.log" for node in nodes}

    async def is_joined() -> bool:
        return all([_JOINED in await asyncio.to_thread(log.read_text) for log in logs.values()])

    await wait_until(is_joined, within=_WITHIN, part="routes")
