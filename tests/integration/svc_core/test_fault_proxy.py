"""The proxy does what the tests of the transport rely on: each fault bites, and ends."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.integration.svc_core.fault_proxy import FaultProxy, open_fault_proxy

PATIENCE_S: Final = 5.0
QUIET_S: Final = 0.2
"""How long nothing comes, where nothing may: waiting is the only proof of that."""
TICK_S: Final = 0.001
"""The loop's clock counts whole milliseconds, so of each end of a wait one may be missing."""


@dataclass
class Line:
    """A server that answers with what it was sent, and a client of it behind a proxy."""

    proxy: FaultProxy
    heard: bytearray = field(default_factory=bytearray)
    """What reached the server."""
    reader: asyncio.StreamReader = field(default_factory=asyncio.StreamReader)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def dial(self) -> None:
        self.reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        self.writers.append(writer)

    def say(self, text: bytes) -> None:
        self.writers[-1].write(text)

    async def hear(self, size: int, *, within_s: float = PATIENCE_S) -> bytes:
        async with asyncio.timeout(within_s):
            return await self.reader.readexactly(size)

    async def talk(self) -> None:
        self.say(b"ping")
        assert await self.hear(4) == b"ping"

    async def hears_nothing(self) -> bool:
        try:
            await self.hear(1, within_s=QUIET_S)
        except TimeoutError:
            return True
        return False


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    heard = bytearray()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            heard.extend(data)
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with open_fault_proxy(server.sockets[0].getsockname()[1]) as proxy:
        line = Line(proxy, heard)
        await line.dial()
        await line.talk()
        yield line
        for writer in line.writers:
            writer.transport.abort()
    server.close()


async def test_a_delay_is_added_both_ways_and_ends(line: Line) -> None:
    loop = asyncio.get_running_loop()
    line.proxy.delay(0.1)
    await asyncio.sleep(0)

    began = loop.time()
    await line.talk()
    assert loop.time() - began >= 0.2 - 2 * TICK_S

    line.proxy.restore()
    await line.talk()


async def test_a_deaf_line_brings_words_and_no_answers(line: Line) -> None:
    line.proxy.deafen()
    await asyncio.sleep(0)

    line.say(b"deaf")
    assert await line.hears_nothing()
    assert bytes(line.heard).endswith(b"deaf")

    line.proxy.restore()
    assert await line.hear(4) == b"deaf"


async def test_a_mute_line_brings_nothing_until_it_is_over(line: Line) -> None:
    line.proxy.mute()
    await asyncio.sleep(0)

    line.say(b"mute")
    assert await line.hears_nothing()
    assert not bytes(line.heard).endswith(b"mute")

    line.proxy.restore()
    assert await line.hear(4) == b"mute"


async def test_a_reset_reaches_the_client_as_one(line: Line) -> None:
    line.proxy.reset()

    with pytest.raises(ConnectionResetError):
        await line.hear(1)


async def test_a_frozen_line_takes_connections_and_answers_none(line: Line) -> None:
    line.proxy.freeze()
    await line.dial()
    line.say(b"cold")
    assert await line.hears_nothing()

    line.proxy.restore()
    assert await line.hear(4) == b"cold"


async def test_a_severed_line_ends_connections_and_takes_none(line: Line) -> None:
    line.proxy.sever()
    assert await line.reader.read() == b""
    await line.dial()
    assert await line.reader.read() == b""

    line.proxy.restore()
    await asyncio.sleep(0)
    await line.dial()
    await line.talk()


async def test_one_answer_is_lost_with_its_connection(line: Line) -> None:
    line.proxy.loses_next_answer = True

    line.say(b"lost")
    assert await line.reader.read() == b""
    assert bytes(line.heard).endswith(b"lost")

    await line.dial()
    await line.talk()
