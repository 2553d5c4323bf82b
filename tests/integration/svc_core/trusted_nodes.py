"""Four issuers under two roots, what is said of them, and NATS nodes that run by what is said.

The files of a node are those that Watcher would publish, from a desired state as Metadata would
sign it; only OpenBao is left out, whose part a test's own authorities play.
"""

import asyncio
import json
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from devstack.endpoints import NatsEndpoint
from devstack.layout import Layout
from devstack.nats_nodes import prepare_nodes
from devstack.programs import find_nats_server
from services.watcher.domain.server_files import ServerCertificates, server_files
from svc_core.adapters.files import publish_directory
from svc_core.adapters.system_clock import SystemClock
from svc_core.crypto.certificates import certificate_request, new_leaf_key, not_after, not_before
from svc_core.domain.desired import DesiredState, TrustedIssuer, TrustMode
from svc_core.domain.identity import NATS_ROUTE, Deployment
from svc_core.domain.tls import TlsMaterial
from tests.builders import make_desired, seeded_entropy
from tests.fakes.memory_certificate_issuer import (
    Intermediate,
    make_issuer_under,
    make_root,
    sign_leaf,
)
from tests.integration.bare_stack import GRANTS
from tests.integration.svc_core.admin_listener import free_port

WITHDRAWN, OLD, CURRENT, NEXT = "withdrawn", "old", "current", "next"
ISSUERS: Final = (WITHDRAWN, OLD, CURRENT, NEXT)
_LIFE: Final = timedelta(hours=1)
_LISTENS_WITHIN_S: Final = 20.0
_LOOK_AGAIN_S: Final = 0.05
_entropy = seeded_entropy(b"trusted nodes")


@dataclass(frozen=True)
class Pair:
    """One issuer: for connections, and for routes."""

    client: Intermediate
    route: Intermediate

    def trusted(self, epoch: int) -> TrustedIssuer:
        end = self.client.certificate.not_valid_after_utc
        return TrustedIssuer(self.client.name, epoch, self.client.pem, self.route.pem, end)


class Authorities:
    """The former root signed all but the next issuer; the next root has signed that one."""

    def __init__(self) -> None:
        now = SystemClock().now()
        self.roots = [make_root(name, now=now, life=_LIFE) for name in ("root-2", "root")]
        by_name = {}
        for name in ISSUERS:
            root = self.roots[0] if name == NEXT else self.roots[1]
            client = make_issuer_under(root, f"ca-{name}", now=now, life=_LIFE)
            route = make_issuer_under(root, f"ca-{name} for routes", now=now, life=_LIFE)
            by_name[name] = Pair(client, route)
        self.pairs = by_name

    def desired(self, mode: TrustMode, *, with_withdrawn: bool = False) -> DesiredState:
        """Return what is said: three issuers are trusted, and before that all four were."""
        trusted = [name for name in reversed(ISSUERS) if with_withdrawn or name != WITHDRAWN]
        return replace(
            make_desired(
                active=f"ca-{CURRENT}",
                issuers=tuple(self.pairs[n].trusted(ISSUERS.index(n)) for n in trusted),
                root_pem="".join(root.pem for root in self.roots),
                trust_mode=mode,
                kicked_issuers=(),
            ),
            grants=GRANTS,
        )

    def client(self, issuer: str, desired: DesiredState, uri: str) -> TlsMaterial:
        """Return a client's leaf of ``issuer`` that trusts what ``desired`` says."""
        return self._leaf(self.pairs[issuer].client, desired, uris=(uri,), is_server=False)

    def server(self, issuer: str, desired: DesiredState) -> TlsMaterial:
        """Return a server's leaf of ``issuer`` that trusts what ``desired`` says."""
        return self._leaf(self.pairs[issuer].client, desired, uris=(), is_server=True)

    def route(self, issuer: str, desired: DesiredState) -> TlsMaterial:
        """Return a node's leaf of ``issuer`` for routes."""
        uris = (Deployment().spiffe_id(NATS_ROUTE),)
        return self._leaf(self.pairs[issuer].route, desired, uris=uris, is_server=True)

    def _leaf(
        self,
        signer: Intermediate,
        desired: DesiredState,
        *,
        uris: Sequence[str],
        is_server: bool,
    ) -> TlsMaterial:
        now, key = SystemClock().now(), new_leaf_key(_entropy)
        hosts = {"dns": ["localhost"], "ips": ["127.0.0.1"]} if is_server else {}
        csr = certificate_request(key, uris=uris, **hosts)
        both = is_server and bool(uris)
        leaf = sign_leaf(signer, csr, now=now, ttl=_LIFE / 2, server=is_server, client=both)
        return TlsMaterial(
            chain_pem=leaf + signer.pem,
            key_pem=key,
            trust_pem=desired.trust_pem,
            issuer=signer.name,
            not_before=not_before(leaf),
            not_after=not_after(leaf),
            issued_at=now,
            root_pem=desired.anchor_pem,
        )


@dataclass(frozen=True)
class Certified:
    """One node to be: which issuers its two certificates are of."""

    name: str
    server: str = CURRENT
    route: str = CURRENT


@dataclass(frozen=True)
class Node:
    """One node that runs."""

    name: str
    port: int
    route_port: int
    monitor: int
    log: Path

    @property
    def url(self) -> str:
        return f"tls://127.0.0.1:{self.port}"

    def routes(self) -> int:
        """Return how many routes it has to nodes that it knows by name."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/routez", timeout=5) as said:
            routes = json.load(said).get("routes") or []
        return sum(1 for route in routes if route.get("remote_name"))


@contextmanager
def running(
    root: Path, authorities: Authorities, desired: DesiredState, *wanted: Certified
) -> Iterator[list[Node]]:
    """Yield nodes of one cluster that run by ``desired``, with certificates as wanted."""
    layout = Layout.at(root)
    ports = {certified.name: (free_port(), free_port(), free_port()) for certified in wanted}
    endpoints = [
        NatsEndpoint(name, f"tls://127.0.0.1:{port}", route, "nats.pid", "live")
        for name, (port, route, _) in ports.items()
    ]
    if len(endpoints) == 1:
        # JetStream in a cluster wants somebody to have a route to, be it nobody who answers.
        lonely = NatsEndpoint("n9", f"tls://127.0.0.1:{free_port()}", free_port(), "", "")
        endpoints.append(lonely)
    prepare_nodes(layout, endpoints, Deployment())
    with ExitStack() as processes:
        for certified in wanted:
            process = _start(layout, authorities, desired, certified, ports)
            processes.callback(process.wait, 10)
            processes.callback(process.terminate)
        yield [Node(c.name, *ports[c.name], layout.node(c.name) / "nats.log") for c in wanted]


def _start(
    layout: Layout,
    authorities: Authorities,
    desired: DesiredState,
    certified: Certified,
    ports: dict[str, tuple[int, int, int]],
) -> subprocess.Popen[bytes]:
    folder = layout.node(certified.name)
    certificates = ServerCertificates(
        authorities.server(certified.server, desired), authorities.route(certified.route, desired)
    )
    publish_directory(folder / "live", server_files(desired, certificates, Deployment()))
    with (folder / "nats.conf").open("a") as config:
        config.write(f'http: "127.0.0.1:{ports[certified.name][2]}"\n')
    with (folder / "output.log").open("wb") as output:
        return subprocess.Popen(
            [find_nats_server(), "-c", folder / "nats.conf"], stdout=output, stderr=output
        )


async def all_listen(nodes: Sequence[Node]) -> None:
    """Wait until every node takes connections."""
    async with asyncio.timeout(_LISTENS_WITHIN_S):
        for node in nodes:
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", node.port)
                except OSError:
                    await asyncio.sleep(_LOOK_AGAIN_S)
                else:
                    writer.transport.abort()
                    break
