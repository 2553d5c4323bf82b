"""Certificates swapped a hundred times under thousands of handshakes, and nobody notices."""

import asyncio
import json
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
from tests.tls_materials import make_material, new_issuer

ROOT: Final = Path(__file__).parents[3]
HANDSHAKES: Final = 3000
SWAPS: Final = 100
SWAP_EVERY_S: Final = 0.18
LIMITS: Final = ListenerLimits(500, parse_duration("5s"), parse_duration("10m"))


class Echo(asyncio.Protocol):
    """Says what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class EchoServer:
    """A hot listener whose CA rolls over."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.identity = TlsIdentity(SystemClock(), server_context, server=True)
        self.listening = open_listening_socket("127.0.0.1", 0)
        self.port = int(self.listening.getsockname()[1])

    async def run(self) -> None:
        context = await self.identity.hot_context()
        await TlsListener(LIMITS, context, Echo, AdminMetrics(self.registry)).serve(self.listening)

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
async def storm(link: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Yield a storm of handshakes in a process of its own, once its connections are held."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.svc_core.handshake_storm",
        str(link),
        str(port),
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


async def knock(port: int, context: ssl.SSLContext, session: Any = None) -> tuple[bool, Any, bool]:
    """Say whether the server answers, with the session it gave and whether it took ours."""

    def ask() -> tuple[bool, Any, bool]:
        try:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname="localhost", session=session) as tls,
            ):
                tls.sendall(b"z")
                return tls.recv(1) == b"z", tls.session, bool(tls.session_reused)
        except OSError:
            return False, None, False

    return await asyncio.to_thread(ask)


@pytest.mark.slow
@pytest.mark.timeout(100)
async def test_a_full_roll_over_under_load_fails_no_handshake_and_ends_no_connection(
    tmp_path: Path,
) -> None:
    server, link = EchoServer(), tmp_path / "client"
    old = new_issuer("ca-1-1")
    await server.show(old, old)
    await asyncio.to_thread(give, link, old, old)
    first = client_context(make_material(old))
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.run())
        _, session, _ = await knock(server.port, first)
        async with storm(link, server.port) as process:
            swaps, current = 0, old
            # One full roll-over takes four swaps: trust both, move the server, move the clients,
            # trust the new one only. Then the next begins.
            while swaps < SWAPS:
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
        assert (await knock(server.port, reachable))[0]

        # The removed client trusts the server of today: it is the server that must refuse.
        first.load_verify_locations(cadata=current.pem)
        answers = [await knock(server.port, first) for _ in range(10)]
        answers += [await knock(server.port, first, session) for _ in range(10)]

        assert [answered for answered, _, _ in answers] == [False] * 20
        assert (await knock(server.port, reachable))[0]
        serving.cancel()
    assert seen["failed"] == []
    assert seen["held_alive"] == 50
    assert seen["completed"] >= HANDSHAKES
    assert seen["completed"] / seen["elapsed_s"] >= 100
    assert server.refused() == {Refusal.UNKNOWN_CA.value: 20}
    assert server.identity.health.state is TlsState.OK
