"""A process of its own that shakes hands as fast as it is asked to and counts what happens.

Run as ``python -m tests.integration.svc_core.handshake_storm DIR PORT TALK``: it reads client
identities from ``DIR`` each time they change, talks to ``PORT`` as `TALKS` says, and says on
standard output, once it is told to stop by the end of its input, how it went.
"""

import asyncio
import json
import ssl
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from tests.integration.svc_core.admin_listener import Caller

WORKERS: Final = 4
HELD: Final = 50
RATE: Final = 130.0


@dataclass(frozen=True, slots=True)
class Talk:
    """What a client says, and how it knows the answer."""

    says: bytes
    hears: bytes
    """First byte of the answer."""
    goes_on: bool
    """Whether connections that are held talk all the time, or only once, at the end."""


TALKS: Final = {
    "echo": Talk(b"x", b"x", goes_on=True),
    # Asked for something after a swap, an admin listener ends the connection with the answer.
    "admin": Talk(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"H", goes_on=False),
}


@dataclass
class Outcome:
    """What the storm saw."""

    completed: int = 0
    failed: list[str] = field(default_factory=list)
    held_alive: int = 0
    elapsed_s: float = 0.0


def context_of(directory: Path) -> ssl.SSLContext:
    """Return a context of the newest identity in ``directory``."""
    current = directory.resolve()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cafile=current / "ca.pem")
    context.load_cert_chain(current / "cert.pem", current / "key.pem")
    return context


class Storm:
    """Handshakes at a rate, and connections that are held through all of it."""

    def __init__(self, directory: Path, port: int, talk: Talk) -> None:
        self._talk = talk
        self._directory = directory
        self._port = port
        self._version = directory.resolve()
        self._context = context_of(directory)
        self._stop = asyncio.Event()
        self._begun = 0
        self.outcome = Outcome()

    async def run(self) -> None:
        """Storm until the end of standard input."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        held = [await self._open() for _ in range(HELD)]
        print("held", flush=True)  # noqa: T201 - the test waits for it
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end())
            for caller in held:
                group.create_task(self._hold(caller))
            for _ in range(WORKERS):
                group.create_task(self._keep_shaking(began))
        self.outcome.elapsed_s = loop.time() - began

    async def _end(self) -> None:
        await asyncio.to_thread(sys.stdin.read)
        self._stop.set()

    async def _open(self) -> Caller:
        if (version := self._directory.resolve()) != self._version:
            self._version, self._context = version, context_of(self._directory)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context)
        return Caller(reader, writer)

    async def _hold(self, caller: Caller) -> None:
        while self._talk.goes_on and not self._stop.is_set():
            if not await self._is_answered(caller):
                return
            await asyncio.sleep(0.25)
        await self._stop.wait()
        is_alive = await self._is_answered(caller)
        self.outcome.held_alive += is_alive
        caller.writer.transport.abort()

    async def _is_answered(self, caller: Caller) -> bool:
        caller.writer.write(self._talk.says)
        await caller.writer.drain()
        return await caller.reader.read(1) == self._talk.hears

    async def _keep_shaking(self, began: float) -> None:
        clock = asyncio.get_running_loop().time
        while not self._stop.is_set():
            due = began + self._begun / RATE
            self._begun += 1
            await asyncio.sleep(max(due - clock(), 0))
            try:
                caller = await self._open()
                is_answered = await self._is_answered(caller)
                caller.writer.transport.abort()
            except OSError as err:
                self.outcome.failed.append(f"{type(err).__name__}: {err}")
                continue
            if is_answered:
                self.outcome.completed += 1
            else:
                self.outcome.failed.append("closed without an answer")


async def _main() -> None:
    storm = Storm(Path(sys.argv[1]), int(sys.argv[2]), TALKS[sys.argv[3]])
    await storm.run()
    print(json.dumps(asdict(storm.outcome)), flush=True)  # noqa: T201 - its result


if __name__ == "__main__":
    asyncio.run(_main())
