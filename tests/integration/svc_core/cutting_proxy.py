"""A TCP proxy that can lose one answer: the request arrives, and then the connection is cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

_CHUNK: Final = 65536
_PATIENCE_S: Final = 5


@dataclass(slots=True)
class CuttingProxy:
    """Passes bytes on to ``port`` of this machine; TLS goes through it untouched."""

    target: int
    port: int = 0
    loses_next_answer: bool = False
    """Set by the test on an open connection; taken back when an answer was lost."""
    open: int = 0
    """Connections now."""

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side closes it."""
        self.open += 1
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self.target)
        async with asyncio.TaskGroup() as group:
            requests = group.create_task(self._carry(reader, onward_writer))
            await self._answer(onward_reader, writer)
            writer.close()
            requests.cancel()
        onward_writer.close()
        self.open -= 1

    @staticmethod
    async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self.loses_next_answer:
                    self.loses_next_answer = False
                    return
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def open_cutting_proxy(target: int) -> AsyncIterator[CuttingProxy]:
    """Yield a proxy in front of ``target``; whoever uses it hangs up before the end."""
    proxy = CuttingProxy(target)
    server = await asyncio.start_server(proxy.serve_one, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        async with asyncio.timeout(_PATIENCE_S):
            while proxy.open:
                await asyncio.sleep(0.01)
