"""Certificates swapped a hundred times under thousands of handshakes, and nobody notices."""

import asyncio
import json
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import pytest
from prometheus_client import CollectorRegistry

from svc_core.adapters.files import publish_directory
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.tls_contexts import client_context, server_context
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.adapters.tls_listener import ListenerLimits, TlsListener, open_listening_socket
from svc_core.domain.durations import parse_duration
from svc_core.domain.handshakes import Refusal
from svc_core.domain.tls import TlsState
from svc_core.runtime.admin_metrics import HANDSHAKES_REFUSED, AdminMetrics
from tests.fakes.memory_certificate_issuer import Intermediate
from tests.integration.svc_core.admin_listener import Listener
from tests.integration.svc_core.handshake_storm import TALKS
from tests.tls_materials import make_material, new_issuer

ROOT: Final = Path(__file__).parents[3]
HANDSHAKES_PER_SWAP: Final = 30
RATE: Final = 100
"""Handshakes in a second, at least."""
SWAP_EVERY_S: Final = 0.18
LIMITS: Final = ListenerLimits(500, parse_duration("5s"), parse_duration("10m"))


class Echo(asyncio.Protocol):
    """Says what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@dataclass(frozen=True)
class Server:
    """Something that listens with a hot context, and whose CA rolls over."""

    talk: str
    """How clients talk to it, of `TALKS`."""
    port: int
    registry: CollectorRegistry
    identity: TlsIdentity
    run: Callable[[], Coroutine[None, None, None]]

    async def show(self, issuer: Intermediate, *trusted: Intermediate) -> None:
        await self.identity.adopt(make_material(issuer, server=True, trusted=trusted))

    def refused(self) -> dict[str, float]:
        counts = {
            reason.value: self.registry.get_sample_value(
                HANDSHAKES_REFUSED, {"reason": reason.value}
            )
            for reason in Refusal
        }
        return {reason: count for reason, count in counts.items() if count}


def echo_server() -> Server:
    """Return the TLS listener with connections that may talk for as long as they like."""
    registry = CollectorRegistry()
    identity = TlsIdentity(SystemClock(), server_context, server=True)
    listening = open_listening_socket("127.0.0.1", 0)

    async def run() -> None:
        context = await identity.hot_context()
        await TlsListener(LIMITS, context, Echo, AdminMetrics(registry)).serve(listening)

    return Server("echo", int(listening.getsockname()[1]), registry, identity, run)


def admin_server() -> Server:
    """Return the listener that every service has."""
    listener = Listener(
        connections=LIMITS.connections,
        request_timeout=LIMITS.former_generation,
        former_connections=LIMITS.former_generation,
    )
    return Server("admin", listener.port, listener.registry, listener.identity, listener.admin.run)


def give(link: Path, issuer: Intermediate, *trusted: Intermediate) -> None:
    """Let clients use a new leaf of ``issuer`` and trust ``trusted`` from now on."""
    material = make_material(issuer, trusted=trusted)
    files = {
        "cert.pem": material.chain_pem.encode(),
        "key.pem": material.key_pem.reveal(),
        "ca.pem": material.trust_pem.encode(),
    }
    publish_directory(link, files)


@asynccontextmanager
async def storm(link: Path, server: Server) -> AsyncIterator[asyncio.subprocess.Process]:
    """Yield a storm of handshakes in a process of its own, once its connections are held."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.svc_core.handshake_storm",
        str(link),
        str(server.port),
        server.talk,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}/libs:{ROOT}"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert await process.stdout.readline() == b"held\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def result_of(process: asyncio.subprocess.Process) -> Any:
    """End the storm and return what it saw."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    async with asyncio.timeout(20):
        return json.loads(await process.stdout.readline())


async def knock(
    server: Server, context: ssl.SSLContext, session: Any = None
) -> tuple[bool, Any, bool]:
    """Say whether the server answers, with the session it gave and whether it took ours."""
    talk = TALKS[server.talk]

    def ask() -> tuple[bool, Any, bool]:
        try:
            with (
                socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname="localhost", session=session) as tls,
            ):
                tls.sendall(talk.says)
                return tls.recv(1) == talk.hears, tls.session, bool(tls.session_reused)
        except OSError:
            return False, None, False

    return await asyncio.to_thread(ask)


async def first_session(server: Server, context: ssl.SSLContext) -> Any:
    """Wait until the server listens, and return the session of a handshake with it."""
    async with asyncio.timeout(5):
        while True:
            answered, session, _ = await knock(server, context)
            if answered:
                return session
            await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    ("open_server", "swaps_wanted"),
    [pytest.param(admin_server, 100, id="admin"), pytest.param(echo_server, 25, id="echo")],
)
async def test_a_full_roll_over_under_load_fails_no_handshake_and_ends_no_connection(
    tmp_path: Path, open_server: Callable[[], Server], swaps_wanted: int
) -> None:
    server, link = open_server(), tmp_path / "client"
    old = new_issuer("ca-1-1")
    await server.show(old, old)
    await asyncio.to_thread(give, link, old, old)
    first = client_context(make_material(old))
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.run())
        session = await first_session(server, first)
        async with storm(link, server) as process:
            swaps, current = 0, old
            # One full roll-over takes four swaps: trust both, move the server, move the clients,
            # trust the new one only. Then the next begins.
            while swaps < swaps_wanted:
                new = new_issuer(f"ca-{swaps + 2}-1")
                await server.show(current, current, new)
                await asyncio.to_thread(give, link, current, current, new)
                await asyncio.sleep(2 * SWAP_EVERY_S)
                await server.show(new, current, new)
                await asyncio.sleep(SWAP_EVERY_S)
                await asyncio.to_thread(give, link, new, new)
                await asyncio.sleep(2 * SWAP_EVERY_S)
                await server.show(new, new)
                swaps, current = swaps + 3, new
            async with asyncio.timeout(30):
                seen = await result_of(process)
        reachable = client_context(make_material(current))
        assert (await knock(server, reachable))[0]

        # The removed client trusts the server of today: it is the server that must refuse.
        first.load_verify_locations(cadata=current.pem)
        answers = [await knock(server, first) for _ in range(10)]
        answers += [await knock(server, first, session) for _ in range(10)]

        assert [answered for answered, _, _ in answers] == [False] * 20
        assert (await knock(server, reachable))[0]
        serving.cancel()
    assert seen["failed"] == []
    assert seen["held_alive"] == 50
    rate = seen["completed"] / seen["elapsed_s"]
    print(f"{server.talk}: {swaps} swaps, {seen['completed']} handshakes, {rate:.0f}/s")  # noqa: T201
    assert seen["completed"] >= HANDSHAKES_PER_SWAP * swaps_wanted
    assert rate >= RATE
    assert server.refused() == {Refusal.UNKNOWN_CA.value: 20}
    assert server.identity.health.state is TlsState.OK
