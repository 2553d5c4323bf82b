"""The admin listener over real TLS: swapped live, strict with strangers, bounded with everyone."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, Counter

from svc_core.adapters.admin_http import AdminListener
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.tls_contexts import client_context, server_context, trusting_context
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.config import AdminSettings
from svc_core.errors import ConfigError
from svc_core.runtime.health import Health
from tests.fakes.memory_certificate_issuer import Intermediate
from tests.tls_materials import make_material, new_issuer

OLD, NEW = new_issuer("ca-1-1"), new_issuer("ca-2-1")
HANDSHAKE_LIMIT_S = 5.0


@dataclass(frozen=True)
class Answer:
    """Status and body of one response."""

    status: int
    body: bytes


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Caller:
    """One HTTP/1.1 connection, by hand: it shows when it is kept and when it is cut."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def certificate(self) -> bytes:
        tls: ssl.SSLObject = self._writer.get_extra_info("ssl_object")
        return tls.getpeercert(binary_form=True) or b""

    async def get(self, path: str, *, header: str = "") -> Answer:
        """Ask for ``path``; a connection that is cut raises."""
        extra = f"X-Extra: {header}\r\n" if header else ""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n".encode())
        async with asyncio.timeout(5):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                int(line.split(":")[1])
                for line in head.lower().splitlines()
                if line.startswith("content-length:")
            )
            return Answer(int(head.split()[1]), await self._reader.readexactly(length))


class Listener:
    """A running admin listener and what it shows."""

    def __init__(self) -> None:
        port = self.port = free_port()
        self.health = Health(SystemClock())
        self.registry = CollectorRegistry()
        self.identity = TlsIdentity(SystemClock(), server_context, server=True)
        self.admin = AdminListener(
            AdminSettings(port=port), self.identity.hot_context, self.health, self.registry
        )

    async def adopt(self, issuer: Intermediate, trusted: Sequence[Intermediate]) -> None:
        await self.identity.adopt(make_material(issuer, server=True, trusted=trusted))

    @asynccontextmanager
    async def call(self, context: ssl.SSLContext) -> AsyncIterator[Caller]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        try:
            yield Caller(reader, writer)
        finally:
            writer.transport.abort()

    async def status(self, context: ssl.SSLContext, path: str = "/healthz") -> int:
        async with self.call(context) as caller:
            return (await caller.get(path)).status

    async def wait_until_it_listens(self) -> None:
        async with asyncio.timeout(5):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.01)
                else:
                    writer.transport.abort()
                    return


@asynccontextmanager
async def listening(*trusted: Intermediate) -> AsyncIterator[Listener]:
    """Yield a listener with a certificate of ``OLD`` that trusts ``trusted``, by default OLD."""
    listener = Listener()
    await listener.adopt(OLD, trusted or [OLD])
    async with asyncio.TaskGroup() as group:
        running = group.create_task(listener.admin.run())
        await listener.wait_until_it_listens()
        try:
            yield listener
        finally:
            running.cancel()


def client_of(issuer: Intermediate) -> ssl.SSLContext:
    return client_context(make_material(issuer, trusted=[OLD, NEW]))


def anyone() -> ssl.SSLContext:
    return trusting_context(OLD.pem + NEW.pem)


async def test_health_readiness_and_metrics_are_for_anyone_who_trusts_the_ca() -> None:
    async with listening() as listener, listener.call(anyone()) as caller:
        Counter("test_events", "Events.", registry=listener.registry).inc()

        assert await caller.get("/healthz") == Answer(200, b'{"ok": true}')
        assert b"test_events_total 1.0" in (await caller.get("/metrics")).body
        assert (await caller.get("/nowhere")).status == 404


async def test_readiness_says_which_loop_is_behind() -> None:
    async with listening() as listener, listener.call(anyone()) as caller:
        listener.health.expect("rotation", timedelta(seconds=30))
        waiting = await caller.get("/readyz")
        listener.health.beat("rotation", "version 3")
        ready = await caller.get("/readyz")

    assert waiting.status == 503
    assert json.loads(waiting.body) == {
        "ready": False,
        "loops": {"rotation": {"ok": False, "detail": "has not succeeded yet"}},
    }
    assert ready.status == 200
    assert json.loads(ready.body)["loops"] == {"rotation": {"ok": True, "detail": "version 3"}}


async def test_a_new_certificate_is_for_new_connections_and_old_ones_live_on() -> None:
    async with listening() as listener, listener.call(anyone()) as early:
        await early.get("/healthz")
        await listener.adopt(NEW, [OLD, NEW])

        async with listener.call(anyone()) as late:
            assert (await early.get("/healthz")).status == 200
            assert (await late.get("/healthz")).status == 200
            assert early.certificate != late.certificate
        with pytest.raises(ssl.SSLCertVerificationError):
            await listener.status(trusting_context(OLD.pem))


async def test_many_swaps_under_requests_fail_none() -> None:
    async with listening(OLD, NEW) as listener:
        context, done = anyone(), asyncio.Event()
        answered = 0

        async def ask() -> None:
            nonlocal answered
            while not done.is_set():
                assert await listener.status(context) == 200
                answered += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(ask())
            for swap in range(20):
                await listener.adopt((OLD, NEW)[swap % 2], [OLD, NEW])
                await asyncio.sleep(0.02)
            done.set()

    assert answered >= 20


async def test_a_client_ca_that_was_removed_is_refused_at_once() -> None:
    async with listening(OLD, NEW) as listener:
        stranger, friend = client_of(NEW), client_of(OLD)
        assert await listener.status(stranger) == 200
        assert await listener.status(friend) == 200

        await listener.adopt(OLD, [OLD])

        with pytest.raises((OSError, EOFError)):
            await listener.status(stranger)
        assert await listener.status(friend) == 200
        assert await listener.status(anyone()) == 200


async def test_a_session_of_before_the_removal_is_not_resumed() -> None:
    async with listening(OLD, NEW) as listener:
        stranger = client_of(NEW)
        session, reused = await asyncio.to_thread(_ask_blocking, listener.port, stranger, None)
        assert not reused
        again, reused = await asyncio.to_thread(_ask_blocking, listener.port, stranger, session)
        assert not reused, "a ticket was handed out"

        await listener.adopt(OLD, [OLD])

        with pytest.raises(OSError, match=r"(?i)closed|eof|alert|reset"):
            await asyncio.to_thread(_ask_blocking, listener.port, stranger, again)


def _ask_blocking(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool]:
    """Do one request over a socket that may resume ``session``; return the session it got."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as tls,
    ):
        tls.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        if not tls.recv(65536):
            raise ConnectionResetError("closed without an answer")
        return tls.session, bool(tls.session_reused)


async def test_a_client_with_a_servers_certificate_is_refused() -> None:
    async with listening() as listener:
        with pytest.raises((OSError, EOFError)):
            await listener.status(client_context(make_material(OLD, server=True)))


async def test_tls_1_2_is_refused() -> None:
    old = anyone()
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening() as listener:
        with pytest.raises((ConnectionResetError, ssl.SSLError)):
            await listener.status(old)
        assert await listener.status(anyone()) == 200


@pytest.mark.parametrize("size", [9 * 1024, 64 * 1024])
async def test_an_oversized_header_is_the_callers_fault(size: int) -> None:
    async with listening() as listener:
        async with listener.call(anyone()) as caller:
            answer = await caller.get("/healthz", header="x" * size)
        assert 400 <= answer.status < 500
        assert await listener.status(anyone()) == 200


async def test_an_oversized_path_is_the_callers_fault() -> None:
    async with listening() as listener, listener.call(anyone()) as caller:
        assert 400 <= (await caller.get("/" + "x" * 9000)).status < 500


async def test_a_client_that_says_nothing_is_cut_at_the_handshake_limit() -> None:
    async with listening() as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(HANDSHAKE_LIMIT_S + 3):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        assert asyncio.get_running_loop().time() - began >= HANDSHAKE_LIMIT_S - 0.5
        writer.transport.abort()


async def test_a_client_that_speaks_plain_http_gets_nothing() -> None:
    async with listening() as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(2):
            with suppress(ConnectionResetError):
                assert b"200" not in await reader.read()
        writer.transport.abort()
        assert await listener.status(anyone()) == 200


async def test_a_stop_does_not_wait_for_idle_connections() -> None:
    listener = Listener()
    await listener.adopt(OLD, [OLD])
    async with asyncio.timeout(3), asyncio.TaskGroup() as group:
        running = group.create_task(listener.admin.run())
        await listener.wait_until_it_listens()
        async with listener.call(anyone()) as idle:
            await idle.get("/healthz")
            running.cancel()
            await asyncio.wait([running])


async def test_a_port_that_is_taken_is_named() -> None:
    async with listening() as listener:
        second = Listener()
        await second.adopt(OLD, [OLD])
        second.admin = AdminListener(
            AdminSettings(port=listener.port),
            second.identity.hot_context,
            second.health,
            second.registry,
        )
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{listener.port}.*admin\.port"):
            await second.admin.run()
