"""What the bus contract cannot say: servers that refuse, limits, and swaps while answering."""

import asyncio
from datetime import timedelta

import pytest

from svc_core.adapters.nats_connection import NatsConnection, NatsUser
from svc_core.config import NatsSettings
from svc_core.domain.identity import AUTHCONTROLLER, CANARY, GATEKEEPER, METADATA
from svc_core.domain.subjects import (
    AUTH_REQUEST,
    BUNDLE_PULL,
    BUNDLE_WORKERS,
    CA_CERT,
    CA_STREAM,
    bundle_push,
)
from svc_core.errors import AccessDeniedError, BusError, OversizedMessageError
from tests.builders import seeded_entropy
from tests.integration.bare_stack import RunningCluster
from tests.integration.connections import connected, credentials_of


async def test_the_canary_may_do_nothing_and_hears_so_at_once(declared: RunningCluster) -> None:
    async with connected(declared, CANARY) as canary, asyncio.timeout(0.9):
        with pytest.raises(AccessDeniedError, match="forbids publish"):
            await canary.publish(AUTH_REQUEST, b"x", message_id="canary")
        with pytest.raises(AccessDeniedError):
            await canary.fetch_last(CA_STREAM, CA_CERT)


async def test_a_subject_without_a_stream_is_an_error_to_retry(declared: RunningCluster) -> None:
    impatient = declared.settings.model_copy(update={"publish_deadline": timedelta(seconds=0.5)})
    async with connected(declared, METADATA, settings=impatient) as metadata:
        with pytest.raises(BusError, match="no acknowledgement"):
            await metadata.publish(bundle_push(GATEKEEPER), b"x", message_id="nowhere")


async def test_a_message_beyond_the_servers_limit_is_refused_here(
    declared: RunningCluster,
) -> None:
    async with connected(declared, GATEKEEPER) as gatekeeper:
        with pytest.raises(OversizedMessageError):
            await gatekeeper.publish(AUTH_REQUEST, bytes(2 << 20), message_id="huge")


async def test_a_server_that_refuses_is_passed_over(declared: RunningCluster) -> None:
    dead = "tls://127.0.0.1:1"
    settings = NatsSettings(servers=(dead, *declared.settings.servers[:1]))
    for _ in range(4):
        async with connected(declared, GATEKEEPER, settings=settings) as gatekeeper:
            await gatekeeper.fetch_last(CA_STREAM, CA_CERT)
            assert gatekeeper.is_connected


async def test_without_a_connection_requests_fail_and_publishes_wait(
    declared: RunningCluster,
) -> None:
    own = declared.materials[GATEKEEPER]
    connection = NatsConnection(
        declared.settings,
        NatsUser(GATEKEEPER, "late"),
        lambda: credentials_of(own),
        seeded_entropy(),
    )
    assert (connection.is_connected, connection.issuer, connection.leaf_in_use) == (False, "", "")
    with pytest.raises(BusError, match="not connected"):
        await connection.request(BUNDLE_PULL, b"", timeout=timedelta(seconds=0.1))
    with pytest.raises(BusError, match="not connected"):
        await connection.fetch_last(CA_STREAM, CA_CERT)

    async with asyncio.TaskGroup() as group:
        publishing = group.create_task(
            connection.publish(AUTH_REQUEST, b"waited", message_id="waited")
        )
        await asyncio.sleep(0.1)
        assert not publishing.done()
        running = group.create_task(connection.run())
        async with asyncio.timeout(5):
            await publishing
        running.cancel()
    await connection.close()


async def test_a_responder_answers_every_request_while_it_swaps(declared: RunningCluster) -> None:
    async def echo(request: bytes) -> bytes:
        return request

    async with (
        connected(declared, METADATA) as metadata,
        connected(declared, GATEKEEPER) as gatekeeper,
        asyncio.TaskGroup() as group,
    ):
        responder = group.create_task(metadata.respond(BUNDLE_PULL, BUNDLE_WORKERS, echo))
        swapping = group.create_task(_swap(metadata, times=20))
        answered = 0
        while not swapping.done() or answered < 50:
            request = str(answered).encode()
            reply = await gatekeeper.request(BUNDLE_PULL, request, timeout=timedelta(seconds=3))
            assert reply == request
            answered += 1
        responder.cancel()

    assert metadata.swaps == 20


async def test_a_listener_misses_nothing_while_it_swaps(declared: RunningCluster) -> None:
    heard: list[bytes] = []
    async with (
        connected(declared, METADATA) as metadata,
        connected(declared, AUTHCONTROLLER) as authcontroller,
        asyncio.TaskGroup() as group,
    ):
        listener = group.create_task(authcontroller.listen(CA_CERT, heard.append))
        async with asyncio.timeout(5):
            while not heard:
                await metadata.send(CA_CERT, b"are you there?")
                await asyncio.sleep(0.02)
        swapping = group.create_task(_swap(authcontroller, times=20))
        said: list[bytes] = []
        while not swapping.done() or len(said) < 20:
            said.append(f"hint {len(said)}".encode())
            await metadata.send(CA_CERT, said[-1])
            await asyncio.sleep(0.02)
        async with asyncio.timeout(2):
            while not set(heard) >= set(said):
                await asyncio.sleep(0.02)
        listener.cancel()


async def _swap(connection: NatsConnection, *, times: int) -> None:
    for _ in range(times):
        await connection.swap()
        await asyncio.sleep(0.05)
