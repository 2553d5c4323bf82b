"""Watcher's composition root."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
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
from services.watcher.flows.server_following import Canaries, ServerFollower, ServerGroup
from services.watcher.flows.server_keeping import ServerKeeper, ServerTools
from svc_core.domain.identity import CANARY, WATCHER, WATCHER_SYS
from svc_core.domain.status import InstanceStatus
from svc_core.domain.subjects import CA_CERT
from svc_core.kit import ServiceKit, client_spec
from svc_core.kit import serve as serve_kit
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
    follower = ServerFollower(
        kit.reader,
        [_group(kit, node, system) for node in kit.settings.nats_nodes],
        DirectoryTarget(kit.settings.trust_dir),
        system,
        Canaries(kit.issuing, client_spec(kit.settings, CANARY), kit.around),
        kit.around,
    )
    follower.metrics = ReloadMetrics(kit.metrics)
    follower.acknowledged = kit.follower.acknowledged
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
        ]
    finally:
        await system_connection.close()


def _group(
    kit: ServiceKit[WatcherSettings], node: NatsNode, system: NatsSystemAccount
) -> ServerGroup:
    material = MaterialKeeper(
        ServerNames(node.dns_names, node.ip_addresses),
        DirectoryTarget(node.live_dir),
        kit.issuing,
        kit.around,
        kit.settings.deployment,
    )
    tools = ServerTools(system, PidFileSignal(node.pid_file), LiveServerCheck())
    return ServerGroup(material, [ServerKeeper(node.name, node.url, tools, kit.around)])
