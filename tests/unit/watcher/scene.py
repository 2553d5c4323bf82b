"""Watcher in memory: three servers with their files, an authority, and the loop that follows."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry

from services.watcher.flows.material_keeping import MaterialKeeper, ServerNames
from services.watcher.flows.reload_metrics import ReloadMetrics
from services.watcher.flows.server_following import Canaries, ServerFollower, ServerGroup
from services.watcher.flows.server_keeping import ServerKeeper, ServerTools
from svc_core.domain.identity import CANARY, Deployment
from svc_core.domain.profiles import PROFILES
from svc_core.domain.status import ServerStatus
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec
from svc_core.runtime.supervision import Loop, run_until
from tests.authority import Authority
from tests.builders import make_surroundings
from tests.fakes.scripted_servers import MemoryTarget, ScriptedCluster, ScriptedServer

PROFILE: Final = PROFILES["demo"]
EPOCH: Final = 100
_OFF_BEAT_S: Final = 0.0017


def ca(ahead: int = 0) -> str:
    """Return the name of the issuer for the epoch ``ahead`` of the first."""
    return f"ca-{EPOCH + ahead}-1"


async def run_for(seconds: float, *loops: Loop) -> None:
    """Run ``loops`` under supervision until ``seconds`` have passed."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds + _OFF_BEAT_S, stop.set)
    await run_until(stop, loops)


@dataclass
class Scene:
    """What one Watcher works with."""

    authority: Authority = field(default_factory=Authority)
    trust: MemoryTarget = field(default_factory=MemoryTarget)

    def __post_init__(self) -> None:
        self.around = make_surroundings(self.authority.clock)
        self.issuing = LeafIssuing(self.authority.certificates, self.around)
        self.servers = [ScriptedServer(name, MemoryTarget()) for name in ("n1", "n2", "n3")]
        self.cluster = ScriptedCluster(self.servers)
        self.reader = DesiredReader(
            self.authority.store, None, self.authority.statements, PROFILE.name
        )
        self.canaries = Canaries(
            self.issuing, LeafSpec(CANARY, (Deployment().spiffe_id(CANARY),)), self.around
        )
        self.registry = CollectorRegistry()
        self.follower = ServerFollower(
            self.reader,
            [ServerGroup(self.material(s), [self.keeper(s)]) for s in self.servers],
            self.trust,
            self.cluster,
            self.canaries,
            self.around,
        )
        self.follower.metrics = ReloadMetrics(self.registry)

    def material(self, server: ScriptedServer) -> MaterialKeeper:
        """Return what keeps the files of ``server``."""
        names = ServerNames((server.name,), ("127.0.0.1",))
        return MaterialKeeper(names, server.target, self.issuing, self.around, Deployment())

    def keeper(self, server: ScriptedServer) -> ServerKeeper:
        """Return what keeps ``server`` running with its files."""
        tools = ServerTools(self.cluster, server, server)
        return ServerKeeper(server.name, f"tls://{server.name}", tools, self.around)

    async def says(self, version: int, *ahead: int, active: int | None = None) -> None:
        """Have the authority trust the issuers of these epochs; the first is active."""
        epochs = [EPOCH + n for n in ahead]
        wanted = None if active is None else EPOCH + active
        await self.authority.store_state(self.authority.state(version, *epochs, active=wanted))

    async def run(self, seconds: float) -> None:
        """Let Watcher work."""
        await run_for(seconds, self.follower)

    def count(self, name: str) -> float:
        """Return the value of one metric."""
        return self.registry.get_sample_value(name) or 0.0

    def status(self, name: str = "n1") -> ServerStatus:
        """Return what Watcher says of one server."""
        return next(s for s in self.follower.servers if s.name == name)


async def verified_scene() -> Scene:
    """Return a scene in which every server was verified with version 1."""
    scene = Scene()
    await scene.says(1, 0)
    await scene.run(1)
    assert {(s.version, s.error) for s in scene.follower.servers} == {(1, "")}
    return scene
