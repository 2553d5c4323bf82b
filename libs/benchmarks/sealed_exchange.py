"""Requests and answers as the services exchange them: sealed, over `NatsConnection`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar, Final

from benchmarks.channel_load import PAYLOAD_SIZE, SUBMITTERS
from benchmarks.exchanges import Line, Lines, Waiting
from benchmarks.places import ServerPlace
from svc_core.adapters.nats_connection import NatsConnection, NatsUser, open_bus
from svc_core.adapters.nats_link import NatsLink
from svc_core.adapters.system_entropy import system_entropy
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, ServiceName
from svc_core.domain.subjects import AUTH_REQUEST, RESPONDER
from svc_core.flows.secure_channel import SecureChannel
from svc_core.ports.bus import Binding, Delivery, Handler

_REQUEST_TYPE: Final = "authRequest"
_ANSWER_TYPE: Final = "authResponse"
_ANSWER_PREFIX: Final = "re-"


class PlainLink(NatsLink):
    """A link without TLS, which no service can open; only to see what TLS costs."""

    def _tls_options(self) -> dict[str, Any]:
        return {}


class PlainConnection(NatsConnection):
    """A connection over such links."""

    link_type: ClassVar[type[NatsLink]] = PlainLink


@dataclass(slots=True)
class SealedTalk:
    """Both ends' channels: what is sealed by one is opened by the other."""

    asking: SecureChannel
    answering: SecureChannel
    payload: bytes = field(default_factory=lambda: system_entropy(PAYLOAD_SIZE))
    _numbers: "count[int]" = field(default_factory=count)

    def next_id(self) -> str:
        """Return a request's id that was never used."""
        return f"bench-{next(self._numbers)}"

    async def ask(self, request_id: str) -> bytes:
        """Return a sealed request."""
        return await self.asking.seal(
            AUTH_REQUEST, self.payload, message_type=_REQUEST_TYPE, message_id=request_id
        )

    async def answer(self, request: bytes) -> tuple[str, bytes]:
        """Open a request and return its id and the sealed answer."""
        message = await self.answering.open(request, AUTH_REQUEST)
        answer = await self.answering.seal(
            RESPONDER,
            message.payload,
            message_type=_ANSWER_TYPE,
            message_id=_ANSWER_PREFIX + message.message_id,
        )
        return message.message_id, answer

    async def read(self, answer: bytes) -> str:
        """Open an answer and return the request's id."""
        message = await self.asking.open(answer, RESPONDER)
        return message.message_id.removeprefix(_ANSWER_PREFIX)

    async def sizes(self) -> tuple[int, int]:
        """Return the mean bytes of a request and of an answer while many are under way."""
        requests: list[bytes] = []
        answers: list[bytes] = []

        async def exchange() -> None:
            requests.append(await self.ask(self.next_id()))
            answers.append((await self.answer(requests[-1]))[1])

        async with asyncio.TaskGroup() as tasks:
            for _ in range(SUBMITTERS):
                tasks.create_task(exchange())
        return _mean_size(requests), _mean_size(answers)


class SealedExchange:
    """Asks over one connection and answers over another; see `benchmarks.exchanges.Exchange`."""

    def __init__(
        self, talk: SealedTalk, lines: Lines, asking: NatsConnection, answering: NatsConnection
    ) -> None:
        self._talk = talk
        self._lines = lines
        self._asking = asking
        self._answering = answering
        self._waiting = Waiting()

    async def request(self) -> None:
        """Send one sealed request and wait until its sealed answer was opened."""
        request_id = self._talk.next_id()
        sealed = await self._talk.ask(request_id)
        answered = self._waiting.expect(request_id)
        await self._asking.publish(self._lines.requests.subject, sealed, message_id=request_id)
        await answered

    async def answer_for_ever(self) -> None:
        """Take requests and answer them."""
        await self._take(self._answering, self._lines.requests, self._answer)

    async def receive_for_ever(self) -> None:
        """Take answers and let those go on who wait for them."""
        await self._take(self._asking, self._lines.answers, self._receive)

    async def _take(self, bus: NatsConnection, line: Line, handler: Handler) -> None:
        await bus.consume(Binding(line.stream, line.durable), handler, self._refused)

    async def _answer(self, delivery: Delivery) -> None:
        request_id, answer = await self._talk.answer(delivery.payload)
        subject = self._lines.answers.subject
        await self._answering.publish(subject, answer, message_id=_ANSWER_PREFIX + request_id)

    async def _receive(self, delivery: Delivery) -> None:
        self._waiting.answered(await self._talk.read(delivery.payload))

    async def _refused(self, _delivery: Delivery, error: Exception) -> None:
        self._waiting.fail(error)


@asynccontextmanager
async def open_sealed_exchange(
    place: ServerPlace, lines: Lines, talk: SealedTalk
) -> AsyncIterator[SealedExchange]:
    """Connect both ends over declared ``lines``, and take what comes until the end."""
    async with AsyncExitStack() as stack:
        asking = await stack.enter_async_context(_connected(place, GATEKEEPER))
        answering = await stack.enter_async_context(_connected(place, AUTHCONTROLLER))
        exchange = SealedExchange(talk, lines, asking, answering)
        async with asyncio.TaskGroup() as tasks:
            takers = (exchange.answer_for_ever(), exchange.receive_for_ever())
            running = [tasks.create_task(taker) for taker in takers]
            try:
                # The first waits for the connections.
                await exchange.request()
                yield exchange
            finally:
                for task in running:
                    task.cancel()


@asynccontextmanager
async def _connected(place: ServerPlace, account: ServiceName) -> AsyncIterator[NatsConnection]:
    kind = NatsConnection if place.is_secure else PlainConnection
    user = NatsUser(account, f"bench-{account}")
    connection = kind(place.settings, user, lambda: place.credentials(account), system_entropy)
    async with asyncio.TaskGroup() as tasks, open_bus(connection):
        running = tasks.create_task(connection.run())
        try:
            yield connection
        finally:
            running.cancel()


def _mean_size(messages: list[bytes]) -> int:
    return sum(map(len, messages)) // len(messages)
