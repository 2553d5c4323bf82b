"""What one connection says in which order, and what it leaves behind."""

import asyncio
import gc
import ssl
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from nats.aio.msg import Msg

from benchmarks.sealed_exchange import PlainLink
from svc_core.adapters.nats_link import LinkCredentials, LinkTarget, NatsLink

INFO: Final = b'INFO {"server_id":"n1","version":"2.15.1","max_payload":1048576,"headers":true}\r\n'


async def ignore(message: Msg) -> None:
    del message


@asynccontextmanager
async def heard_link() -> AsyncIterator[tuple[NatsLink, list[str]]]:
    """Yield a link, and the verbs of what a server hears over it, which answers pings."""
    verbs: list[str] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        while line := await reader.readline():
            verbs.append(line.split()[0].decode())
            if verbs[-1] == "PUB":
                await reader.readline()
            if verbs[-1] == "PING":
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    credentials = LinkCredentials(ssl.create_default_context(), "ca-1-1", "")
    async with server:
        link = await PlainLink.open(
            LinkTarget(f"nats://127.0.0.1:{port}", credentials, "_INBOX.t", "test", 5.0)
        )
        try:
            yield link, verbs
        finally:
            await link.close()


async def test_a_new_link_is_there_once_its_inbox_is() -> None:
    async with heard_link() as (_, verbs):
        assert verbs.index("SUB") < len(verbs) - 1 - verbs[::-1].index("PING")


@pytest.mark.parametrize("verb", ["SUB", "PUB", "UNSUB"])
async def test_a_flush_overtakes_nothing(verb: str) -> None:
    async with heard_link() as (link, verbs):
        subscription = await link.subscribe("a.b", ignore)
        await link.flush()
        verbs.clear()

        if verb == "SUB":
            await link.subscribe("c.d", ignore)
        elif verb == "PUB":
            await link.send("a.b", b"x")
        else:
            await link.unsubscribe(subscription)
        await link.flush()

        assert verbs == [verb, "PING"]


async def test_who_leaves_listens_until_the_server_has_ended_the_subscription() -> None:
    async with heard_link() as (link, verbs):
        subscription = await link.subscribe("a.b", ignore)
        await link.flush()
        verbs.clear()

        await link.unsubscribe(subscription, drain=True)

        assert verbs[:2] == ["UNSUB", "PING"]


async def test_a_closed_link_lets_go_of_its_buffers_without_being_collected() -> None:
    async with heard_link() as (link, _):
        transport = weakref.ref(link._client._transport)
        gc.disable()
        try:
            await link.close()
            assert transport() is None
        finally:
            gc.enable()
