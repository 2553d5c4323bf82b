"""NATS servers as Watcher meets them: they load files when told to, and fail as a test says."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from services.watcher.domain.monitoring import LiveConnection, ServerFacts
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import BusError, SvcError

_TAG = re.compile(rb'server_tags: \["material:([0-9a-f]+)"\]')
_LOADS = count(1)


@dataclass
class MemoryTarget:
    """A `FileTarget` that is a dict."""

    files: dict[str, bytes] = field(default_factory=dict)
    published: int = 0
    failure: SvcError | None = None
    """What publishing fails with, as long as it is set."""

    async def publish(self, files: Mapping[str, bytes]) -> None:
        """Replace the set."""
        if self.failure is not None:
            raise self.failure
        self.files = dict(files)
        self.published += 1

    async def fetch(self, names: Sequence[str]) -> Mapping[str, bytes] | None:
        """Return the named files, or None when one is missing."""
        if not set(names) <= set(self.files):
            return None
        return {name: self.files[name] for name in names}


@dataclass
class ScriptedServer:
    """One nats-server; its signal and its handshake are methods of its own."""

    name: str
    target: MemoryTarget
    is_running: bool = True
    is_silent: bool = False
    """Whether it does not answer the system account."""
    refusal: str = ""
    """What it answers to a reload, and then loads nothing."""
    is_stubborn: bool = False
    """Whether it answers that all is well and loads nothing."""
    signal_failure: SvcError | None = None
    """What signalling fails with, as long as it is set."""
    canary_error: str = ""
    connections: list[LiveConnection] = field(default_factory=list)
    loaded: dict[str, bytes] = field(default_factory=dict)
    loaded_at: str = "never"
    reloads: int = 0
    """Asked for over the system account."""
    signals: int = 0

    @property
    def server_id(self) -> str:
        """Its id; of this life."""
        return f"ID{self.name}"

    @property
    def facts(self) -> ServerFacts:
        """What it answers to VARZ."""
        tag = _TAG.search(self.loaded.get("accounts.conf", b""))
        return ServerFacts(
            self.name, self.server_id, self.loaded_at, tag.group(1).decode() if tag else ""
        )

    def load(self) -> None:
        """Take over what is published, as a start or anybody's signal makes it."""
        self.loaded, self.loaded_at = dict(self.target.files), f"load {next(_LOADS)}"

    async def signal(self) -> bool:
        """Be signalled, as `ReloadSignal`."""
        if self.signal_failure is not None:
            raise self.signal_failure
        if not self.is_running:
            return False
        self.signals += 1
        if not self.is_stubborn:
            self.load()
        return True

    async def prove(self, url: str, canary: TlsMaterial) -> str:
        """Shake hands, as `ServerCheck`: the canary's issuer must be in the loaded trust file."""
        assert url == f"tls://{self.name}"
        if not self.is_running:
            return "connection refused"
        issuer = canary.chain_pem.partition("-----END CERTIFICATE-----\n")[2]
        if issuer.strip().encode() not in self.loaded.get("ca.pem", b""):
            return "unknown authority"
        return self.canary_error


@dataclass
class ScriptedCluster:
    """A `SystemAccount` over servers."""

    servers: Sequence[ScriptedServer]
    failure: SvcError | None = None
    """What every request fails with, as long as it is set."""
    kicked: list[tuple[str, int]] = field(default_factory=list)
    """Server and connection of every kick."""

    async def fetch_facts(self) -> Mapping[str, ServerFacts]:
        """Return every server that answers, by name."""
        self._reach()
        return {s.name: s.facts for s in self.servers if s.is_running and not s.is_silent}

    async def reload(self, server_id: str) -> str:
        """Have one server read its configuration again."""
        server = self._server(server_id)
        server.reloads += 1
        if not server.refusal and not server.is_stubborn:
            server.load()
        return server.refusal

    async def fetch_connections(self, server_id: str) -> Sequence[LiveConnection]:
        """Return the client connections of one server."""
        return tuple(self._server(server_id).connections)

    async def kick(self, server_id: str, cid: int) -> None:
        """Cut one client connection."""
        server = self._server(server_id)
        server.connections = [c for c in server.connections if c.cid != cid]
        self.kicked.append((server.name, cid))

    def _server(self, server_id: str) -> ScriptedServer:
        self._reach()
        for server in self.servers:
            if server.server_id == server_id and server.is_running and not server.is_silent:
                return server
        raise BusError(f"{server_id} does not answer")

    def _reach(self) -> None:
        if self.failure is not None:
            raise self.failure
