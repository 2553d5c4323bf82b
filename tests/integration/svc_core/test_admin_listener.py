"""The admin listener over real TLS: swapped live, strict with strangers, bounded with everyone."""

import asyncio
import json
import socket
import ssl
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter

from svc_core.adapters.tls_contexts import client_context, trusting_context
from svc_core.errors import ConfigError
from svc_core.runtime import admin_metrics
from tests.fakes.memory_certificate_issuer import Intermediate
from tests.integration.svc_core.admin_listener import PAGE, READER, Answer, Listener, listening
from tests.tls_materials import make_material, new_issuer

OLD, NEW = new_issuer("ca-1-1"), new_issuer("ca-2-1")
HANDSHAKE_LIMIT_S = 1.0
QUICK: dict[str, Any] = {"handshake_timeout": timedelta(seconds=HANDSHAKE_LIMIT_S)}


def client_of(issuer: Intermediate) -> ssl.SSLContext:
    return client_context(make_material(issuer, trusted=[OLD, NEW]))


def anyone() -> ssl.SSLContext:
    return trusting_context(OLD.pem + NEW.pem)


async def test_health_readiness_and_metrics_are_for_anyone_who_trusts_the_ca() -> None:
    async with listening(OLD) as listener, listener.call(anyone()) as caller:
        Counter("test_events", "Events.", registry=listener.registry).inc()

        assert await caller.get("/healthz") == Answer(200, b'{"ok": true}')
        assert b"test_events_total 1.0" in (await caller.get("/metrics")).body
        assert (await caller.get("/nowhere")).status == 404


async def test_readiness_says_which_loop_is_behind() -> None:
    async with listening(OLD) as listener, listener.call(anyone()) as caller:
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
    async with listening(OLD) as listener, listener.call(anyone()) as early:
        await early.get("/healthz")
        await listener.adopt(NEW, [OLD, NEW])

        async with listener.call(anyone()) as late:
            assert (await early.get("/healthz")).status == 200
            assert (await late.get("/healthz")).status == 200
            assert early.certificate != late.certificate
        with pytest.raises(ssl.SSLCertVerificationError):
            await listener.status(trusting_context(OLD.pem))


async def test_many_swaps_under_requests_fail_none() -> None:
    async with listening(OLD, [OLD, NEW]) as listener:
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
    async with listening(OLD, [OLD, NEW]) as listener:
        stranger, friend = client_of(NEW), client_of(OLD)
        assert await listener.status(stranger) == 200
        assert await listener.status(friend) == 200

        await listener.adopt(OLD, [OLD])

        with pytest.raises((OSError, EOFError)):
            await listener.status(stranger)
        assert await listener.status(friend) == 200
        assert await listener.status(anyone()) == 200


async def test_a_session_of_before_the_removal_is_not_resumed() -> None:
    async with listening(OLD, [OLD, NEW]) as listener:
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
    async with listening(OLD) as listener:
        with pytest.raises((OSError, EOFError)):
            await listener.status(client_context(make_material(OLD, server=True)))


async def test_tls_1_2_is_refused() -> None:
    old = anyone()
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(OLD) as listener:
        with pytest.raises((ConnectionResetError, ssl.SSLError)):
            await listener.status(old)
        assert await listener.status(anyone()) == 200


@pytest.mark.parametrize("size", [9 * 1024, 64 * 1024])
async def test_an_oversized_header_is_the_callers_fault(size: int) -> None:
    async with listening(OLD) as listener:
        async with listener.call(anyone()) as caller:
            answer = await caller.get("/healthz", header="x" * size)
        assert 400 <= answer.status < 500
        assert await listener.status(anyone()) == 200


async def test_an_oversized_path_is_the_callers_fault() -> None:
    async with listening(OLD) as listener, listener.call(anyone()) as caller:
        assert 400 <= (await caller.get("/" + "x" * 9000)).status < 500


async def test_a_client_that_says_nothing_is_cut_at_the_handshake_limit() -> None:
    async with listening(OLD, **QUICK) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(HANDSHAKE_LIMIT_S + 3):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        assert asyncio.get_running_loop().time() - began >= HANDSHAKE_LIMIT_S - 0.5
        writer.transport.abort()


async def test_a_client_that_speaks_plain_http_gets_nothing() -> None:
    async with listening(OLD) as listener:
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
    async with listening(OLD) as listener:
        second = Listener(port=listener.port)
        await second.adopt(OLD, [OLD])
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{listener.port}.*admin\.port"):
            await second.admin.run()


def reader_of(issuer: Intermediate) -> ssl.SSLContext:
    return client_context(make_material(issuer, trusted=[OLD, NEW], uri=READER))


async def test_the_status_is_for_named_certificates_only() -> None:
    async with listening(OLD) as listener:
        for context, expected in (
            (reader_of(OLD), 200),
            (anyone(), 401),
            (client_of(OLD), 403),
            (reader_of(OLD), 200),
        ):
            async with listener.call(context) as caller:
                answer = await caller.get("/status")
            assert answer.status == expected
            assert (json.loads(answer.body) == PAGE) is (expected == 200)

        assert listener.count(admin_metrics.REQUESTS_REFUSED, code="401") == 1
        assert listener.count(admin_metrics.REQUESTS_REFUSED, code="403") == 1


async def test_an_answer_over_a_former_certificate_is_the_connections_last() -> None:
    async with listening(OLD, [OLD, NEW]) as listener, listener.call(anyone()) as early:
        assert not (await early.get("/healthz")).is_last
        await listener.adopt(NEW, [OLD, NEW])

        assert (await early.get("/healthz")).is_last

        async with listener.call(anyone()) as late:
            assert not (await late.get("/healthz")).is_last


async def test_a_connection_outlives_its_certificate_for_a_bounded_time_only() -> None:
    limit = timedelta(seconds=2)
    async with (
        listening(OLD, [OLD, NEW], former_connections=limit) as listener,
        listener.call(anyone()) as early,
    ):
        await listener.adopt(NEW, [OLD, NEW])
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(6):
            with suppress(ConnectionResetError):
                assert await early.reader.read() == b""
        assert asyncio.get_running_loop().time() - began >= limit.total_seconds() - 0.1
        assert listener.count(admin_metrics.CUT) == 1
        async with listener.call(anyone()) as late:
            assert (await late.get("/healthz")).status == 200


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: loc"], ids=["", "half"])
async def test_a_client_that_does_not_finish_its_request_is_cut(sent: bytes) -> None:
    limit = timedelta(seconds=1)
    async with (
        listening(OLD, request_timeout=limit) as listener,
        listener.call(anyone()) as slow,
    ):
        slow.writer.write(sent)
        async with asyncio.timeout(4):
            with suppress(ConnectionResetError):
                await slow.reader.read()
        assert await listener.status(anyone()) == 200


async def test_a_request_that_trickles_in_is_cut_all_the_same() -> None:
    limit = timedelta(seconds=1)
    async with (
        listening(OLD, request_timeout=limit) as listener,
        listener.call(anyone()) as slow,
    ):
        slow.writer.write(b"GET /healthz HTTP/1.1\r\n")
        async with asyncio.timeout(5):
            with suppress(ConnectionResetError, BrokenPipeError):
                while not slow.reader.at_eof():
                    slow.writer.write(b"X-Slow: 1\r\n")
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.1):
                            await slow.reader.read(1)
        assert await listener.status(anyone()) == 200


async def test_connections_above_the_limit_are_closed_and_the_others_served() -> None:
    async with listening(OLD, connections=4) as listener, AsyncExitStack() as held:
        callers = [await held.enter_async_context(listener.call(anyone())) for _ in range(4)]
        assert listener.count(admin_metrics.CONNECTIONS) == 4

        with pytest.raises((OSError, EOFError)):
            await listener.status(anyone())

        assert listener.count(admin_metrics.TURNED_AWAY) == 1
        assert [(await caller.get("/healthz")).status for caller in callers] == [200] * 4
        callers[0].writer.transport.abort()
        async with asyncio.timeout(2):
            while listener.count(admin_metrics.CONNECTIONS) == 4:
                await asyncio.sleep(0.01)
        assert await listener.status(anyone()) == 200


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_refused_handshakes_leave_nothing_open() -> None:
    stranger = client_context(make_material(NEW, trusted=[OLD]))
    async with listening(OLD) as listener:
        assert await listener.status(anyone()) == 200
        before = open_files()
        for _ in range(30):
            with suppress(OSError, EOFError):
                await listener.status(stranger)

        refused = listener.count(admin_metrics.HANDSHAKES_REFUSED, reason="unknown_ca")
        async with asyncio.timeout(2):
            while open_files() > before or listener.count(admin_metrics.CONNECTIONS):
                await asyncio.sleep(0.01)
        assert refused == 30
