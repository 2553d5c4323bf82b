"""Whom trust reaches, as one table: every issuer and leaf in it is within its validity.

What is said is that the old, the current and the next issuer are trusted, and that a fourth one no
longer is. The next issuer is signed by another root than the others, and both roots are trusted.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.tls_contexts import client_context, server_context
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.domain.desired import DesiredState, TrustMode
from svc_core.domain.identity import GATEKEEPER, Deployment
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import TlsMaterialError
from tests.integration.background import complete
from tests.integration.svc_core.admin_listener import Listener
from tests.integration.svc_core.interpreters import (
    Interpreter,
    in_memory,
    newest_python,
    this_python,
    with_server,
)
from tests.integration.svc_core.trusted_nodes import (
    CURRENT,
    ISSUERS,
    OLD,
    WITHDRAWN,
    Authorities,
    Certified,
    Node,
    all_listen,
    running,
)

CHAIN, INTERMEDIATES = TrustMode.CHAIN, TrustMode.INTERMEDIATES
TABLE: Final = """
mode           issuer     client_to_nats  client_to_admin  server_to_client  route

intermediates  withdrawn  no              no               no                no
intermediates  old        yes             yes              yes               yes
intermediates  current    yes             yes              yes               yes
intermediates  next       yes             yes              yes               yes

chain          withdrawn  YES             no               no                no
chain          old        yes             yes              yes               yes
chain          current    yes             yes              yes               yes
chain          next       yes             yes              yes               yes
"""
"""``YES``: a server that trusts a root trusts all that it signed. Watcher cuts such a connection
once it has seen it for three heartbeats, and again if it comes back."""
CLIENT: Final = Deployment().spiffe_id(GATEKEEPER)
REFUSED_WITHIN_S: Final = 20.0


def truth() -> dict[tuple[TrustMode, str, str], bool]:
    """Return the table by mode, issuer and direction."""
    header, *rows = [line.split() for line in TABLE.splitlines() if line]
    return {
        (TrustMode(mode), issuer, direction): cell.lower() == "yes"
        for mode, issuer, *cells in rows
        for direction, cell in zip(header[2:], cells, strict=True)
    }


TRUTH: Final = truth()


def column(mode: TrustMode, direction: str) -> dict[str, bool]:
    return {issuer: TRUTH[mode, issuer, direction] for issuer in ISSUERS}


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


@pytest.fixture(params=[this_python, newest_python], ids=["this Python", "newest Python"])
def python(request: pytest.FixtureRequest) -> Interpreter:
    interpreter: Interpreter = request.param()
    return interpreter


@dataclass(frozen=True)
class Place:
    """A node for each issuer's server certificate, all by the same desired state."""

    mode: TrustMode
    desired: DesiredState
    nodes: Mapping[str, Node]


@pytest.fixture(scope="module", params=list(TrustMode))
def place(
    request: pytest.FixtureRequest, server_root: Path, authorities: Authorities
) -> Iterator[Place]:
    mode: TrustMode = request.param
    desired = authorities.desired(mode)
    wanted = [Certified(f"n{n}", server=issuer) for n, issuer in enumerate(ISSUERS)]
    with running(server_root / f"table-{mode}", authorities, desired, *wanted) as nodes:
        complete(lambda: all_listen(nodes))
        yield Place(mode, desired, dict(zip(ISSUERS, nodes, strict=True)))


def test_the_table_has_every_cell() -> None:
    assert len(TRUTH) == len(TrustMode) * len(ISSUERS) * 4


def test_every_certificate_is_within_its_validity(authorities: Authorities) -> None:
    now, desired = SystemClock().now(), authorities.desired(CHAIN)

    for issuer in ISSUERS:
        for material in (
            authorities.client(issuer, desired, CLIENT),
            authorities.server(issuer, desired),
            authorities.route(issuer, desired),
        ):
            assert material.not_before < now < material.not_after
        for authority in (authorities.pairs[issuer].client, authorities.pairs[issuer].route):
            certificate = authority.certificate
            assert certificate.not_valid_before_utc < now < certificate.not_valid_after_utc


@pytest.mark.timeout(120)
def test_a_client_comes_to_a_nats_server(
    place: Place, authorities: Authorities, python: Interpreter
) -> None:
    port = place.nodes[CURRENT].port
    clients = [authorities.client(issuer, place.desired, CLIENT) for issuer in ISSUERS]

    outcomes = python.attempt([with_server(client, port) for client in clients])

    assert accepted(outcomes) == column(place.mode, "client_to_nats"), outcomes


@pytest.mark.timeout(120)
def test_a_server_is_come_to_by_a_client(
    place: Place, authorities: Authorities, python: Interpreter
) -> None:
    client = authorities.client(CURRENT, place.desired, CLIENT)
    ports = [place.nodes[issuer].port for issuer in ISSUERS]

    outcomes = python.attempt([with_server(client, port) for port in ports])

    assert accepted(outcomes) == column(place.mode, "server_to_client"), outcomes


@pytest.mark.parametrize("mode", TrustMode)
def test_a_client_and_a_server_of_ours_meet(
    mode: TrustMode, authorities: Authorities, python: Interpreter
) -> None:
    desired = authorities.desired(mode)
    client, server = (
        authorities.client(CURRENT, desired, CLIENT),
        authorities.server(CURRENT, desired),
    )
    clients = [authorities.client(issuer, desired, CLIENT) for issuer in ISSUERS]
    servers = [authorities.server(issuer, desired) for issuer in ISSUERS]

    to_server = python.attempt([in_memory(shown, server) for shown in clients])
    to_client = python.attempt([in_memory(client, shown) for shown in servers])

    assert accepted(to_server) == column(mode, "client_to_admin"), to_server
    assert accepted(to_client) == column(mode, "server_to_client"), to_client


@pytest.mark.parametrize("mode", TrustMode)
async def test_a_client_comes_to_an_admin_listener(
    mode: TrustMode, authorities: Authorities
) -> None:
    desired, outcomes = authorities.desired(mode), {}
    listener = Listener()
    await listener.identity.adopt(authorities.server(CURRENT, desired))
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(listener.admin.run())
        await listener.wait_until_it_listens()
        for issuer in ISSUERS:
            context = client_context(authorities.client(issuer, desired, CLIENT))
            try:
                outcomes[issuer] = await listener.status(context) == 200
            except (OSError, asyncio.IncompleteReadError):
                outcomes[issuer] = False
        serving.cancel()

    assert outcomes == column(mode, "client_to_admin")


def accepted(outcomes: list[str]) -> dict[str, bool]:
    return {issuer: not reason for issuer, reason in zip(ISSUERS, outcomes, strict=True)}


# --- routes --------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize("mode", TrustMode)
async def test_a_node_comes_to_a_cluster(
    mode: TrustMode, issuer: str, server_root: Path, authorities: Authorities
) -> None:
    desired, wanted = authorities.desired(mode), [Certified("a"), Certified("b", route=issuer)]
    with running(server_root / f"r-{mode}-{issuer}", authorities, desired, *wanted) as nodes:
        await all_listen(nodes)
        has_joined = await joins(nodes)

    assert has_joined == TRUTH[mode, issuer, "route"]


async def joins(nodes: list[Node]) -> bool:
    """Say whether both nodes have a route to the other, or one has refused a certificate."""
    async with asyncio.timeout(REFUSED_WITHIN_S):
        while True:
            counts = await asyncio.to_thread(lambda: [node.routes() for node in nodes])
            if all(counts):
                return True
            written = "".join(node.log.read_text() for node in nodes if node.log.exists())
            if "TLS route handshake error" in written and "unknown authority" in written:
                assert counts == [0, 0]
                return False
            await asyncio.sleep(0.05)


@pytest.mark.timeout(120)
async def test_in_mode_chain_a_services_leaf_still_makes_no_node(
    server_root: Path, authorities: Authorities
) -> None:
    """The root signed the issuers of services, too: trusted in routes it would let them in."""
    desired = authorities.desired(CHAIN)
    leaf = authorities.client(CURRENT, desired, CLIENT)
    with running(server_root / "services-leaf", authorities, desired, Certified("a")) as [node]:
        await all_listen([node])
        with pytest.raises(OSError, match="UNKNOWN_CA"):
            await asyncio.to_thread(knock, node.route_port, leaf)


def knock(port: int, leaf: TlsMaterial) -> None:
    """Do as a node does: show a certificate at once, and see whether it is let in."""
    context = client_context(leaf)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain) as tls,
    ):
        tls.sendall(b"PING\r\n")
        while tls.recv(4096):
            pass


# --- that the table measures what it says --------------------------------------------------------


@pytest.mark.parametrize("mode", TrustMode)
def test_before_it_was_withdrawn_the_fourth_issuer_was_as_good_as_the_others(
    mode: TrustMode, authorities: Authorities, python: Interpreter
) -> None:
    before = authorities.desired(mode, with_withdrawn=True)
    server, client = (
        authorities.server(CURRENT, before),
        authorities.client(CURRENT, before, CLIENT),
    )
    shown = authorities.client(WITHDRAWN, before, CLIENT), authorities.server(WITHDRAWN, before)

    outcomes = python.attempt([in_memory(shown[0], server), in_memory(client, shown[1])])

    assert outcomes == ["", ""]


@pytest.mark.timeout(120)
async def test_before_it_was_withdrawn_a_node_of_it_joined(
    server_root: Path, authorities: Authorities
) -> None:
    desired = authorities.desired(INTERMEDIATES, with_withdrawn=True)
    wanted = [Certified("a"), Certified("b", route=WITHDRAWN)]
    with running(server_root / "r-before", authorities, desired, *wanted) as nodes:
        await all_listen(nodes)
        assert await joins(nodes)


async def test_in_mode_chain_an_issuer_of_a_root_that_is_not_trusted_is_not_taken_over(
    authorities: Authorities,
) -> None:
    desired = authorities.desired(CHAIN)
    former_only = authorities.roots[1].pem
    material = authorities.server(OLD, desired)
    identity = TlsIdentity(SystemClock(), server_context, server=True)

    await identity.adopt(material)
    with pytest.raises(TlsMaterialError, match="no trusted root signed"):
        await identity.adopt(replace(material, root_pem=former_only))

    assert identity.material == material
