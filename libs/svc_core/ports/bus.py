"""The message bus as flows see it: publishes, requests, last values, pull consumers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from svc_core.domain.identity import Subject
from svc_core.domain.subjects import ACK_WAIT, MAX_DELIVER


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as the stream holds it."""

    subject: str
    payload: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a message to a consumer; the handler's return acknowledges it."""

    subject: str
    payload: bytes
    headers: Mapping[str, str]
    sequence: int
    deliveries: int
    """1 on first delivery."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A durable pull consumer to take messages from."""

    stream: str
    durable: str
    batch: int = 128
    """Messages asked for at a time."""
    concurrency: int = 64
    """Handlers running at a time."""
    retry_delay: timedelta = field(default=timedelta(seconds=1))
    """Delay of the first redelivery after a handler's retryable error; it doubles up to four
    times this."""
    ack_wait: timedelta = ACK_WAIT
    """The durable's; half of it after a delivery the broker is told that the work goes on."""
    max_deliver: int = MAX_DELIVER
    """Deliveries after which a message is given up as `DeliveryExhaustedError`."""

    def delay_after(self, deliveries: int) -> timedelta:
        """Return how long a message stays away that has been delivered ``deliveries`` times."""
        return self.retry_delay * min(1 << max(0, deliveries - 1), _LONGEST_DELAY)


_LONGEST_DELAY: Final = 4

Handler = Callable[[Delivery], Awaitable[None]]
"""Return: acknowledged. REJECT error: terminated after ``on_reject``. RETRY error: redelivered,
and rejected as `DeliveryExhaustedError` once it was delivered as often as the binding allows."""
Rejected = Callable[[Delivery, Exception], Awaitable[None]]
"""Records a rejection; while it raises, the message is returned and nothing is terminated."""
Responder = Callable[[bytes], Awaitable[bytes | None]]
"""Return the reply, or None to stay silent."""
Listener = Callable[[bytes], None]


class Bus(Protocol):
    """Every method may raise `BusError` (retry) and `AccessDeniedError` (never retry)."""

    async def publish(
        self, topic: str, payload: bytes, *, message_id: str, ordering_key: str = ""
    ) -> bool:
        """Store one message and wait for the broker's acknowledgement.

        Retries across reconnects and swaps under the same ``message_id``, so nothing is doubled.
        A bounded number are under way at a time; more wait here.

        Args:
            topic: where to.
            payload: what.
            message_id: by which the stream knows a repeat.
            ordering_key: messages of one key and one process are stored in the order of the
                calls, at one round trip each; empty: in any order.

        Returns:
            False when the broker had it already.

        Raises:
            OverloadedError: too many wait already; nothing was sent.
            UnacknowledgedError: nobody knows whether it is stored.
            OrderBrokenError: that happened to an earlier one of the key; nothing was sent.
        """
        ...

    async def request(self, topic: Subject, payload: bytes, *, timeout: timedelta) -> bytes:
        """Ask and return the answer."""
        ...

    async def fetch_last(self, stream: str, topic: str) -> StoredMessage | None:
        """Return the last message stored on ``topic``, or None."""
        ...

    async def fetch_last_matching(self, stream: str, pattern: str) -> tuple[StoredMessage, ...]:
        """Return the last message of every subject that matches ``pattern``."""
        ...

    async def consume(self, binding: Binding, handler: Handler, on_reject: Rejected) -> None:
        """Handle messages for ever, across swaps; ends only by cancellation, then drains."""
        ...

    async def listen(self, topic: Subject, listener: Listener) -> None:
        """Call ``listener`` for every live message on ``topic`` for ever, across swaps."""
        ...

    async def respond(self, topic: Subject, queue: str, responder: Responder) -> None:
        """Answer requests on ``topic`` as one of ``queue`` for ever, across swaps."""
        ...
