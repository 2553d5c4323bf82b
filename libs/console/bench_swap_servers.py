"""Three NATS servers for ``bench swap``, run as the local stack runs them, in a folder that goes.

Configuration, accounts and supervision are those of the local stack. What Watcher would write comes
from issuers that are made before anything is measured.
"""

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from signal import SIGHUP
from typing import Final

from benchmarks.certificates import BenchAuthority
from benchmarks.swap_place import USERS, issuer_name, write_move
from devstack.endpoints import NatsEndpoint, port_of
from devstack.layout import NODES, Layout
from devstack.nats_nodes import prepare_nodes, start_nodes
from devstack.ports import choose_ports
from devstack.processes import Supervisor, open_supervisor
from devstack.registry import Registry
from svc_core.adapters.files import make_private_directory, publish_directory
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.adapters.tls_contexts import client_context
from svc_core.domain.desired import TopicGrant
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, Deployment, ServiceName
from svc_core.domain.nats_accounts import render_accounts
from svc_core.domain.subjects import AUTH_REQUEST
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import ReloadError

_GRANTS: Final = {
    METADATA: TopicGrant((), ()),
    GATEKEEPER: TopicGrant((AUTH_REQUEST,), ()),
    AUTHCONTROLLER: TopicGrant((), (AUTH_REQUEST,)),
}
_LIVE_WITHIN: Final = timedelta(seconds=5)
_RELOAD_S: Final = 5.0
_LOOK_S: Final = 0.05
"""Between two handshakes with a server that reloads; each costs both sides what a client's does."""
_GREETING: Final = b"INFO "


@dataclass(frozen=True, slots=True)
class _Move:
    """What the servers show and trust after one move, and who proves it."""

    issuer: str
    """PEM."""
    server: TlsMaterial
    canary: TlsMaterial
    """Trusts this move's issuer only, so that its handshake says whose certificate is shown."""


@dataclass(slots=True)
class RotatedServers:
    """Three servers that run, and all certificates they will have."""

    folder: Path
    nodes: tuple[NatsEndpoint, ...]
    route: TlsMaterial
    accounts: bytes
    moves: list[_Move] = field(default_factory=list)
    supervisor: Supervisor | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """Where they listen."""
        return tuple(node.url for node in self.nodes)

    async def introduce(self, move: int) -> None:
        """Trust the issuer of ``move`` too, and serve with its certificates; one by one, verified.

        Raises:
            ReloadError: a server did not take them over.
        """
        context = await asyncio.to_thread(client_context, self.moves[move].canary)
        for node in self.nodes:
            await asyncio.to_thread(self.write, node, move, self.trust(move - 1, move))
            self._reload(node)
            await _verify(node, context)

    async def withdraw(self, move: int) -> None:
        """Trust the issuer of ``move`` alone; one by one, each shown to listen before the next.

        Raises:
            ReloadError: a server lets nobody in any more.
        """
        context = await asyncio.to_thread(client_context, self.moves[move].canary)
        for node in self.nodes:
            await asyncio.to_thread(self.write, node, move, self.trust(move))
            self._reload(node)
            await _verify(node, context)

    def trust(self, *moves: int) -> str:
        """Return the trusted issuers of ``moves``."""
        return "".join(self.moves[move].issuer for move in moves)

    def write(self, node: NatsEndpoint, move: int, trust: str) -> None:
        """Publish what ``node`` runs with, as Watcher does."""
        server = self.moves[move].server
        files = {
            "ca.pem": trust.encode(),
            "route-ca.pem": self.route.trust_pem.encode(),
            "server.pem": server.chain_pem.encode(),
            "server-key.pem": server.key_pem.reveal(),
            "route.pem": self.route.chain_pem.encode(),
            "route-key.pem": self.route.key_pem.reveal(),
            "accounts.conf": self.accounts,
        }
        publish_directory(Path(node.live_dir), files)

    def _reload(self, node: NatsEndpoint) -> None:
        if self.supervisor is not None:
            self.supervisor.kill(node.name, SIGHUP)


@asynccontextmanager
async def open_swap_servers(
    moves: int, announce: Callable[[str], None]
) -> AsyncIterator[RotatedServers]:
    """Make certificates for ``moves`` moves, start the servers, and end them.

    Raises:
        MissingProgramError: nats-server is not installed.
        StackStartError: one did not listen in time.
    """
    with tempfile.TemporaryDirectory(prefix="st-bench-") as text:
        layout = Layout.at(Path(text))
        announce("making certificates")
        servers = await asyncio.to_thread(_prepare, layout, moves)
        registry = Registry(layout.stack_file)
        announce("starting three servers")
        async with open_supervisor(registry, keep=False, announce=announce) as supervisor:
            servers.supervisor = supervisor
            await start_nodes(supervisor, layout, servers.nodes, live_within=_LIVE_WITHIN)
            yield servers


def _prepare(layout: Layout, moves: int) -> RotatedServers:
    nodes = _endpoints(layout)
    prepare_nodes(layout, nodes, Deployment())
    now = SystemClock().now()
    servers = RotatedServers(
        folder=make_private_directory(layout.root / "clients"),
        nodes=nodes,
        route=BenchAuthority.make("routes", now=now).peer(now=now, entropy=system_entropy),
        accounts=render_accounts(_GRANTS, Deployment()).encode(),
    )
    for move in range(moves + 1):
        _add_move(servers, move)
    for node in nodes:
        servers.write(node, 0, servers.trust(0))
    return servers


def _add_move(servers: RotatedServers, move: int) -> None:
    now = SystemClock().now()
    authority = BenchAuthority.make(issuer_name(move), now=now)

    def client(account: ServiceName) -> TlsMaterial:
        return authority.client(account, now=now, entropy=system_entropy)

    canary = client(GATEKEEPER)
    server = authority.server(now=now, entropy=system_entropy)
    servers.moves.append(_Move(authority.pem, server, canary))
    # As in a rotation: the predecessor is trusted until everybody has moved.
    trust = servers.trust(*range(max(0, move - 1), move + 1))
    for account in USERS:
        write_move(servers.folder, move, account, replace(client(account), trust_pem=trust))


def _endpoints(layout: Layout) -> tuple[NatsEndpoint, ...]:
    routes = {name: f"{name}-route" for name in NODES}
    names = (*NODES, *routes.values())
    ports = choose_ports(names, remembered={}, base_port=None, seed=str(layout.root))
    return tuple(
        NatsEndpoint(
            name=name,
            url=f"tls://127.0.0.1:{ports[name]}",
            route_port=ports[routes[name]],
            pid_file=str(layout.node(name) / "nats.pid"),
            live_dir=str(layout.node(name) / "live"),
        )
        for name in NODES
    )


async def _verify(node: NatsEndpoint, context: ssl.SSLContext) -> None:
    """Shake hands until the server shows a certificate of the canary's issuer and takes its own."""
    try:
        async with asyncio.timeout(_RELOAD_S):
            while True:
                try:
                    await _greeted(node, context)
                except OSError:
                    await asyncio.sleep(_LOOK_S)
                else:
                    return
    except TimeoutError as err:
        raise ReloadError(f"{node.name} did not take over its certificates") from err


async def _greeted(node: NatsEndpoint, context: ssl.SSLContext) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(node.url), ssl=context)
    try:
        # A client that is not trusted learns so only after the handshake.
        if await reader.read(len(_GREETING)) != _GREETING:
            raise ConnectionError("no greeting")
    finally:
        writer.transport.abort()
