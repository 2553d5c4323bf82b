"""Requests that are answered over streams: what the sealed and the bare exchange have in common.

Both run the same way on the same server: one connection asks, another answers; requests and answers
have a stream with a durable pull consumer each, declared as Metadata declares the services' own.
Every message is stored under its id, acknowledged to its publisher, and acknowledged by its
consumer once the work on it is done.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from svc_core.domain.subjects import (
    AUTH_STREAM,
    DUPLICATE_WINDOW,
    DURABLES,
    STREAMS,
    DurableSpec,
    StreamSpec,
)

_MODEL: Final[StreamSpec] = next(s for s in STREAMS if s.name == AUTH_STREAM)
_MODEL_DURABLE: Final[DurableSpec] = next(d for d in DURABLES if d.stream == AUTH_STREAM)


class Exchange(Protocol):
    """Something that can be asked, again and again and many times at once."""

    async def request(self) -> object:
        """Ask once and return when the answer has come."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """One direction: a subject, its stream and the durable that takes from it."""

    subject: str

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self.subject.replace(".", "_")

    @property
    def durable(self) -> str:
        """The durable's name."""
        return f"{self.stream}_taker"

    async def declare(self, client: Client) -> None:
        """Create stream and durable as those of the requests are, on one server."""
        streams: JetStreamContext = client.jetstream()
        await streams.add_stream(
            StreamConfig(
                name=self.stream,
                subjects=[self.subject],
                max_age=_seconds(_MODEL.max_age),
                max_bytes=_MODEL.max_bytes,
                max_msg_size=_MODEL.max_message,
                duplicate_window=_seconds(DUPLICATE_WINDOW),
            )
        )
        await streams.add_consumer(
            self.stream,
            ConsumerConfig(
                durable_name=self.durable,
                filter_subject=self.subject,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=_seconds(_MODEL_DURABLE.ack_wait),
                max_ack_pending=_MODEL_DURABLE.max_ack_pending,
                max_deliver=-1,
            ),
        )


@dataclass(frozen=True, slots=True)
class Lines:
    """Both directions of one exchange."""

    requests: Line
    answers: Line

    @classmethod
    def called(cls, name: str) -> "Lines":
        """Return those of the exchange ``name``."""
        return cls(Line(f"{name}.requests"), Line(f"{name}.answers"))

    async def declare(self, client: Client) -> None:
        """Create the streams and durables of both."""
        await self.requests.declare(client)
        await self.answers.declare(client)


@dataclass(slots=True)
class Waiting:
    """Who waits for which answer."""

    _by_id: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    _failure: Exception | None = None

    def expect(self, request_id: str) -> asyncio.Future[None]:
        """Return what is done once `answered` was called with ``request_id``."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._failure is not None:
            answer.set_exception(self._failure)
        self._by_id[request_id] = answer
        return answer

    def answered(self, request_id: str) -> None:
        """Let the one go on who waits for ``request_id``; a second answer changes nothing."""
        answer = self._by_id.pop(request_id, None)
        if answer is not None and not answer.done():
            answer.set_result(None)

    def fail(self, error: Exception) -> None:
        """Let everybody know, now and later, that answers may be missing because of ``error``."""
        self._failure = error
        for answer in self._by_id.values():
            if not answer.done():
                answer.set_exception(error)


def _seconds(duration: timedelta) -> float:
    return duration.total_seconds()
