"""Who is refused by a NATS server with the configuration every node has."""

import asyncio
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from console.doctor_cases import CASES, Kind, Shown
from console.doctor_examination import Verdict, examine, is_sound
from console.doctor_probe import Target
from devstack.endpoints import NatsEndpoint
from devstack.layout import Layout
from devstack.nats_nodes import prepare_nodes
from devstack.programs import find_nats_server
from svc_core.adapters.files import publish_directory
from svc_core.adapters.tls_contexts import client_context
from svc_core.domain.identity import GATEKEEPER, Deployment
from svc_core.domain.nats_accounts import render_accounts
from tests.fakes.memory_certificate_issuer import Intermediate
from tests.integration.bare_stack import GRANTS
from tests.integration.svc_core.admin_listener import free_port
from tests.integration.svc_core.wallets import MemoryWallet
from tests.tls_materials import SOMEONE, make_material, new_issuer

ISSUER, ROUTES = new_issuer(), new_issuer("route")
WALLET = MemoryWallet(ISSUER, good=Deployment().spiffe_id(GATEKEEPER), stranger=SOMEONE)
SAID_BY_THE_SERVER = (
    "client didn't provide a certificate",
    "certificate signed by unknown authority",
    "certificate has expired or is not yet valid",
    "certificate has expired or is not yet valid",
    "certificate specifies an incompatible key usage",
    "authentication error",
    "client offered only unsupported versions",
)
"""In the order of the table; of plain text and of silence it says nothing."""


@dataclass(frozen=True)
class Node:
    """A node of its own."""

    target: Target
    live: Path
    log: Path
    process: subprocess.Popen[bytes]


def write_live(live: Path, issuer: Intermediate) -> None:
    """Publish what the node serves: a certificate of ``issuer``, and trust in nobody else."""
    server, route = make_material(issuer, server=True), make_material(ROUTES, server=True)
    files = {
        "ca.pem": issuer.pem.encode(),
        "route-ca.pem": ROUTES.pem.encode(),
        "server.pem": server.chain_pem.encode(),
        "server-key.pem": server.key_pem.reveal(),
        "route.pem": route.chain_pem.encode(),
        "route-key.pem": route.key_pem.reveal(),
        "accounts.conf": render_accounts(GRANTS, Deployment()).encode(),
    }
    publish_directory(live, files)


@contextmanager
def running_node(root: Path) -> Iterator[Node]:
    """Yield a node that runs with the configuration of the local stack."""
    layout, port = Layout.at(root), free_port()
    live = layout.node("n1") / "live"
    # JetStream in a cluster wants somebody to have a route to, be it nobody who answers.
    nodes = [
        NatsEndpoint(name, f"tls://127.0.0.1:{at}", free_port(), "nats.pid", "live")
        for name, at in (("n1", port), ("n2", free_port()))
    ]
    prepare_nodes(layout, nodes, Deployment())
    write_live(live, ISSUER)
    with (root / "output.log").open("wb") as output:
        process = subprocess.Popen(
            [find_nats_server(), "-c", layout.node("n1") / "nats.conf"],
            stdout=output,
            stderr=output,
        )
    try:
        target = Target("n1", Kind.NATS, "127.0.0.1", port)
        yield Node(target, live, layout.node("n1") / "nats.log", process)
    finally:
        process.terminate()
        process.wait(10)


async def listens(target: Target) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection(target.host, target.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.transport.abort()
                return


@pytest.mark.timeout(60)
async def test_everybody_who_should_be_is_refused(server_root: Path) -> None:
    with running_node(server_root / "one-node") as node:
        await listens(node.target)
        findings = await examine(node.target, WALLET)
        written = node.log.read_text()

    assert {f.tried: f.verdict for f in findings} == {
        c.name: Verdict.OK for c in CASES if c.nats is not None
    }, findings
    assert is_sound(findings)
    refusals = [line for line in written.splitlines() if " - cid:" in line and "EOF" not in line]
    assert len(refusals) == len(SAID_BY_THE_SERVER), refusals
    for line, reason in zip(refusals, SAID_BY_THE_SERVER, strict=True):
        assert reason in line


@pytest.mark.timeout(60)
async def test_a_session_does_not_outlive_the_trust_in_its_issuer(server_root: Path) -> None:
    successor = new_issuer("ca-2-1")
    with running_node(server_root / "sessions") as node:
        await listens(node.target)
        context = client_context(
            replace(WALLET.show(Shown.GOOD), trust_pem=ISSUER.pem + successor.pem)
        )
        _, session = await asyncio.to_thread(greeted, node.target, context, None)
        resumed, session = await asyncio.to_thread(greeted, node.target, context, session)
        assert resumed, "without resumption this test would prove nothing"

        write_live(node.live, successor)
        node.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while b"Reloaded: tls" not in node.log.read_bytes():
                await asyncio.sleep(0.05)

        with pytest.raises(OSError, match="UNKNOWN_CA"):
            await asyncio.to_thread(greeted, node.target, context, session)
        good = MemoryWallet(successor, good=WALLET.good, stranger=SOMEONE).show(Shown.GOOD)
        await asyncio.to_thread(greeted, node.target, client_context(good), None)


def greeted(
    target: Target, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[bool, ssl.SSLSession | None]:
    """Say whether ``session`` was resumed, and return the one of this connection."""
    with (
        socket.create_connection((target.host, target.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=target.host, session=session) as tls,
    ):
        assert tls.recv(4) == b"INFO"
        return bool(tls.session_reused), tls.session
