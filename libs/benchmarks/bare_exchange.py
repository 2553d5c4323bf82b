"""The same exchange by nats-py alone: as many bytes, stored, acknowledged and taken as often.

Its documented calls, used as they are meant: `publish` under an id, `fetch` in batches, `ack`. What
is taken is answered by as many tasks at a time as the services have.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Final

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from benchmarks.exchanges import Line, Lines, Waiting
from benchmarks.places import ServerPlace
from svc_core.adapters.system_entropy import system_entropy
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, ServiceName
from svc_core.ports.bus import Binding

_DEFAULTS: Final = Binding("", "")
_FETCH_S: Final = 0.5
_ACK_S: Final = 30.0
_ID: Final = "Nats-Msg-Id"
_ANSWER_PREFIX: Final = "re-"


class BareExchange:
    """Asks over one client and answers over another; see `benchmarks.exchanges.Exchange`."""

    def __init__(
        self, lines: Lines, asking: Client, answering: Client, *, sizes: tuple[int, int]
    ) -> None:
        """Use clients that are connected.

        Args:
            lines: declared.
            asking: sends requests and takes answers.
            answering: the other way round.
            sizes: bytes of a request and of an answer.
        """
        self._lines = lines
        self._asking = asking.jetstream(timeout=_ACK_S)
        self._answering = answering.jetstream(timeout=_ACK_S)
        self._request, self._answer_payload = map(system_entropy, sizes)
        self._waiting = Waiting()
        self._numbers = count()

    async def request(self) -> None:
        """Send one request and wait until its answer came."""
        request_id = f"bare-{next(self._numbers)}"
        answered = self._waiting.expect(request_id)
        subject, headers = self._lines.requests.subject, {_ID: request_id}
        await self._asking.publish(subject, self._request, headers=headers)
        await answered

    async def answer_for_ever(self) -> None:
        """Take requests and answer them, so many at a time."""
        room = asyncio.Semaphore(_DEFAULTS.concurrency)

        async def answer(message: Msg) -> None:
            try:
                await self._answer(message)
            finally:
                room.release()

        async with asyncio.TaskGroup() as tasks:
            async for message in _taken(self._answering, self._lines.requests):
                await room.acquire()
                tasks.create_task(answer(message))

    async def receive_for_ever(self) -> None:
        """Take answers and let those go on who wait for them."""
        async for message in _taken(self._asking, self._lines.answers):
            self._waiting.answered(_id_of(message).removeprefix(_ANSWER_PREFIX))
            await message.ack()

    async def _answer(self, message: Msg) -> None:
        headers = {_ID: _ANSWER_PREFIX + _id_of(message)}
        subject = self._lines.answers.subject
        await self._answering.publish(subject, self._answer_payload, headers=headers)
        await message.ack()


@asynccontextmanager
async def open_bare_exchange(
    place: ServerPlace, lines: Lines, *, sizes: tuple[int, int]
) -> AsyncIterator[BareExchange]:
    """Connect both ends over declared ``lines``, and take what comes until the end."""
    async with AsyncExitStack() as stack:
        asking = await stack.enter_async_context(open_client(place, GATEKEEPER))
        answering = await stack.enter_async_context(open_client(place, AUTHCONTROLLER))
        exchange = BareExchange(lines, asking, answering, sizes=sizes)
        async with asyncio.TaskGroup() as tasks:
            takers = (exchange.answer_for_ever(), exchange.receive_for_ever())
            running = [tasks.create_task(taker) for taker in takers]
            try:
                yield exchange
            finally:
                for task in running:
                    task.cancel()


@asynccontextmanager
async def open_client(place: ServerPlace, account: ServiceName) -> AsyncIterator[Client]:
    """Yield a connected client of nats-py."""
    if place.is_secure:
        context = place.credentials(account).context
        client = await nats.connect(place.url, tls=context, tls_handshake_first=True)
    else:
        client = await nats.connect(place.url)
    try:
        yield client
    finally:
        await client.close()


async def _taken(streams: JetStreamContext, line: Line) -> AsyncIterator[Msg]:
    subscription = await streams.pull_subscribe_bind(line.durable, line.stream)
    while True:
        try:
            messages = await subscription.fetch(_DEFAULTS.batch, timeout=_FETCH_S)
        except TimeoutError:
            continue
        for message in messages:
            yield message


def _id_of(message: Msg) -> str:
    return (message.headers or {})[_ID]
