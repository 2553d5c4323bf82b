"""Watcher's composition root."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from services.watcher.adapters.canary import LiveServerCheck
from services.watcher.adapters.directories import DirectoryTarget
from services.watcher.adapters.signals import PidFileSignal
from services.watcher.adapters.system_account import NatsSystemAccount
from services.watcher.config import NatsNode, WatcherSettings
from services.watcher.flows.connection_census import ConnectionCensus
from services.watcher.flows.material_keeping import MaterialKeeper, ServerNames
from services.watcher.flows.reload_metrics import ReloadMetrics
from services.watcher.flows.server_following import (
    AT_ONCE,
    BY_KUBELET,
    Canaries,
    ServerFollower,
    ServerGroup,
)
from services.watcher.flows.server_keeping import ServerKeeper, ServerTools
from services.watcher.ports import FileTarget, OperatorEvents
from svc_core.domain.identity import CANARY, WATCHER, WATCHER_SYS
from svc_core.domain.status import InstanceStatus
from svc_core.domain.subjects import CA_CERT
from svc_core.errors import ConfigError
from svc_core.kit import ServiceKit, client_spec
from svc_core.kit import serve as serve_kit
from svc_core.runtime.backoff import Backoff
from svc_core.runtime.listening import HintListener
from svc_core.runtime.supervision import Loop

_LOOP_BUDGET: Final = timedelta(seconds=15)


async def serve(settings: WatcherSettings, stop: asyncio.Event) -> None:
    """Run Watcher until ``stop`` is set."""
    await serve_kit(settings, WATCHER, _loops, stop)


@asynccontextmanager
async def _loops(kit: ServiceKit[WatcherSettings]) -> AsyncIterator[Sequence[Loop]]:
    kit.uses_keys = False
    system_connection = kit.connect_as(WATCHER_SYS)
    system = NatsSystemAccount(system_connection, len(kit.settings.nats_nodes))
    async with _placement(kit, system) as placement:
        follower = ServerFollower(
            kit.reader,
            placement.groups,
            placement.trust,
            system,
            Canaries(kit.issuing, client_spec(kit.settings, CANARY), kit.around),
            kit.around,
        )
        follower.metrics = ReloadMetrics(kit.metrics)
        follower.acknowledged = kit.follower.acknowledged
        follower.events = placement.events
        follower.pace = placement.pace
        census = ConnectionCensus(kit.reader, system, kit.follower.acknowledged, kit.around)

        def extended(status: InstanceStatus) -> InstanceStatus:
            return replace(status, servers=follower.servers, connections=dict(census.connections))

        kit.extend_status = extended
        for name in (ServerFollower.name, ConnectionCensus.name):
            kit.health.expect(name, _LOOP_BUDGET)
        try:
            yield [
                follower,
                census,
                system_connection,
                HintListener("server_hints", kit.bus, CA_CERT, follower.hinted),
                *placement.loops,
            ]
        finally:
            await system_connection.close()


@dataclass(frozen=True, slots=True)
class _Placement:
    """Where the servers are, and so which adapters reach them."""

    groups: Sequence[ServerGroup]
    trust: FileTarget
    events: OperatorEvents | None = None
    pace: Backoff = AT_ONCE
    loops: Sequence[Loop] = ()


@asynccontextmanager
async def _placement(
    kit: ServiceKit[WatcherSettings], system: NatsSystemAccount
) -> AsyncIterator[_Placement]:
    settings = kit.settings
    if settings.kubernetes is None:
        if settings.trust_dir is None:
            raise ConfigError("trust_dir is required unless `kubernetes` is set")
        groups = [_local_group(kit, node, system) for node in settings.nats_nodes]
        yield _Placement(groups, DirectoryTarget(settings.trust_dir))
        return
    # Half a second and thirty megabytes that only those pay who need them.
    from services.watcher.adapters.kube_cluster import open_cluster  # noqa: PLC0415

    async with open_cluster(settings.kubernetes, kit.clock, kit.instance) as cluster:
        check = LiveServerCheck()
        keepers = [
            ServerKeeper(
                node.name,
                node.url,
                ServerTools(system, cluster.signal(node.name), check),
                kit.around,
            )
            for node in settings.nats_nodes
        ]
        group = ServerGroup(_material(kit, settings.nats_nodes, cluster.material), keepers)
        yield _Placement([group], cluster.trust, cluster.events, BY_KUBELET, [cluster.events])


def _local_group(
    kit: ServiceKit[WatcherSettings], node: NatsNode, system: NatsSystemAccount
) -> ServerGroup:
    if node.live_dir is None or node.pid_file is None:
        raise ConfigError(f"{node.name}: live_dir and pid_file are required on one machine")
    tools = ServerTools(system, PidFileSignal(node.pid_file), LiveServerCheck())
    keeper = ServerKeeper(node.name, node.url, tools, kit.around)
    return ServerGroup(_material(kit, [node], DirectoryTarget(node.live_dir)), [keeper])


def _material(
    kit: ServiceKit[WatcherSettings], nodes: Sequence[NatsNode], target: FileTarget
) -> MaterialKeeper:
    dns = dict.fromkeys(name for node in nodes for name in node.dns_names)
    ips = dict.fromkeys(address for node in nodes for address in node.ip_addresses)
    names = ServerNames(tuple(dns), tuple(ips))
    return MaterialKeeper(names, target, kit.issuing, kit.around, kit.settings.deployment)
