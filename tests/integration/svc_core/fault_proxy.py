"""A TCP proxy whose connections can be made to misbehave; TLS goes through it untouched.

It belongs to the loop that opened it, but can be told what to do from any thread: so it may carry
the routes of servers that live longer than one test's loop.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

_CHUNK: Final = 1 << 16
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_HELD: Final = 1 << 20
"""Bytes of one direction that may wait here; then the sender feels it."""


class FaultProxy:
    """Carries connections to one server of this machine, until told otherwise.

    What a fault holds back is carried on when it is over, as TCP would have it.
    """

    def __init__(self, target: int, loop: asyncio.AbstractEventLoop) -> None:
        """Be in front of port ``target``."""
        self._target = target
        self._loop = loop
        self._ends: set[asyncio.StreamWriter] = set()
        self._asked = asyncio.Event()
        self._answered = asyncio.Event()
        self._asked.set()
        self._answered.set()
        self._has_ended = asyncio.Event()
        self._has_ended.set()
        self._delay_s = 0.0
        self._admits = True
        self.port = 0
        """Where it listens on this machine."""
        self.relayed = 0
        """Connections made over it so far."""
        self.loses_next_answer = False
        """When set, the next bytes of the server are dropped and their connection is cut."""

    @property
    def is_idle(self) -> bool:
        """Whether no connection is carried now."""
        return not self._ends

    # --- faults --------------------------------------------------------------------------------

    def delay(self, seconds: float) -> None:
        """Carry every byte that much later, both ways."""
        self._tell(lambda: setattr(self, "_delay_s", seconds))

    def cut(self) -> None:
        """Break every connection at once, without a goodbye."""
        self._tell(lambda: self._abort_all(with_reset=False))

    def reset(self) -> None:
        """Break every connection by RST, to both sides."""
        self._tell(lambda: self._abort_all(with_reset=True))

    def deafen(self) -> None:
        """Carry what the client says and nothing of what it is answered."""
        self._tell(self._answered.clear)

    def mute(self) -> None:
        """Carry what the server says and nothing of what it is told."""
        self._tell(self._asked.clear)

    def freeze(self) -> None:
        """Carry nothing any more, end nothing, and take in connections that get no answer."""
        self.mute()
        self.deafen()

    def thaw(self) -> None:
        """Carry bytes again."""
        self._tell(self._asked.set)
        self._tell(self._answered.set)

    def sever(self) -> None:
        """Break every connection and let none be made."""
        self._tell(lambda: setattr(self, "_admits", False))
        self.cut()

    def restore(self) -> None:
        """Be a wire again."""
        self._tell(lambda: setattr(self, "_admits", True))
        self.delay(0.0)
        self.thaw()

    def _tell(self, change: Callable[[], object]) -> None:
        with suppress(RuntimeError):
            # The loop may be gone, and the proxy with it.
            self._loop.call_soon_threadsafe(change)

    def _abort_all(self, *, with_reset: bool) -> None:
        for end in tuple(self._ends):
            if with_reset and (own := end.get_extra_info("socket")) is not None:
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            end.transport.abort()

    # --- carrying ------------------------------------------------------------------------------

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends."""
        if not self._admits:
            writer.transport.abort()
            return
        self.relayed += 1
        self._ends.add(writer)
        self._has_ended.clear()
        try:
            await self._join(reader, writer)
        finally:
            self._ends.discard(writer)
            if not self._ends:
                self._has_ended.set()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._ends.add(far_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, far_writer, self._asked))
                group.create_task(self._carry(far_reader, writer, self._answered))
        finally:
            self._ends.discard(far_writer)

    async def ended(self) -> None:
        """Wait until no connection is carried."""
        await self._has_ended.wait()

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        """Carry one direction; reading goes on while what was read waits for its time."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_HELD // _CHUNK)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hand_on(waiting, sink, gate))
            with suppress(OSError):
                while data := await source.read(_CHUNK):
                    if gate is self._answered and self.loses_next_answer:
                        self.loses_next_answer = False
                        break
                    await waiting.put((self._loop.time() + self._delay_s, data))
            await waiting.put((0.0, b""))

    async def _hand_on(
        self,
        waiting: "asyncio.Queue[tuple[float, bytes]]",
        sink: asyncio.StreamWriter,
        gate: asyncio.Event,
    ) -> None:
        is_open = True
        while (entry := await waiting.get())[1]:
            due, data = entry
            await asyncio.sleep(due - self._loop.time())
            await gate.wait()
            try:
                if is_open:
                    sink.write(data)
                    await sink.drain()
            except OSError:
                # What still comes is taken all the same, so that the reader is not kept waiting.
                is_open = False
        sink.transport.abort()


@asynccontextmanager
async def open_fault_proxy(target: int) -> AsyncIterator[FaultProxy]:
    """Yield a proxy in front of port ``target`` of this machine; it breaks what is left."""
    proxy = FaultProxy(target, asyncio.get_running_loop())
    server = await asyncio.start_server(proxy.relay, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.restore()
        proxy.cut()
        await asyncio.sleep(0)
        await proxy.ended()
