"""A `Bus` in memory that behaves as the broker does where it matters to flows.

Each stream keeps its messages and refuses the repeat of a message id; a durable hands every
message to one handler, takes it back when the handler asks for a retry, and drops it when the
handler refuses it for good. What a cancelled consumer had not finished is delivered again.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from fnmatch import fnmatchcase

from svc_core.domain.identity import Subject
from svc_core.domain.subjects import STREAMS
from svc_core.errors import (
    AccessDeniedError,
    BusError,
    DeliveryExhaustedError,
    Disposition,
    SvcError,
)
from svc_core.ports.bus import (
    Binding,
    Delivery,
    Handler,
    Listener,
    Rejected,
    Responder,
    StoredMessage,
)

Fault = Callable[[str, str], Exception | None]
"""Given subject and message id, return what a publish fails with, or None."""


@dataclass
class _Stream:
    messages: list[StoredMessage] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)


@dataclass
class _Durable:
    taken: int = 0
    """Messages of the stream that were delivered at least once."""
    again: deque[Delivery] = field(default_factory=deque)
    acked: list[Delivery] = field(default_factory=list)


@dataclass
class MemoryBus:
    """One broker; services in one test share it."""

    fault: Fault = lambda _topic, _message_id: None
    terminated: list[Delivery] = field(default_factory=list)
    _streams: dict[str, _Stream] = field(default_factory=dict)
    _durables: dict[tuple[str, str], _Durable] = field(default_factory=dict)
    _listeners: dict[str, list[Listener]] = field(default_factory=dict)
    _responders: dict[str, list[Responder]] = field(default_factory=dict)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    def stored(self, topic: str) -> list[StoredMessage]:
        """Return what the stream of ``topic`` holds of it."""
        return [m for m in self._stream_of(topic).messages if m.subject == topic]

    async def publish(
        self, topic: str, payload: bytes, *, message_id: str, ordering_key: str = ""
    ) -> bool:
        """Store one message unless its id is known; fails as `fault` says, before it is stored.

        What is called first is stored first, so no ``ordering_key`` changes anything.
        """
        if (err := self.fault(topic, message_id)) is not None:
            raise err
        stream = self._stream_of(topic)
        await asyncio.sleep(0)
        if message_id in stream.ids:
            return False
        stream.ids.add(message_id)
        stream.messages.append(StoredMessage(topic, payload, len(stream.messages) + 1))
        self._tell(topic, payload)
        await self._wake()
        return True

    async def send(self, subject: str, payload: bytes) -> None:
        """Hand a live message to who listens now."""
        self._tell(subject, payload)

    async def request(self, topic: Subject, payload: bytes, *, timeout: timedelta) -> bytes:
        """Ask the first responder that answers, waiting for one to be there."""
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                async with self._arrived:
                    await self._arrived.wait_for(lambda: self._responders.get(topic))
                for responder in self._responders[topic]:
                    reply = await responder(payload)
                    if reply is not None:
                        return reply
                await asyncio.Event().wait()
        except TimeoutError as err:
            raise BusError(f"no answer on {topic}") from err
        raise BusError(f"no answer on {topic}")

    async def fetch_last(self, stream: str, topic: str) -> StoredMessage | None:
        """Return the last message stored on ``topic``, or None."""
        found = [m for m in self._named(stream).messages if m.subject == topic]
        return found[-1] if found else None

    async def fetch_last_matching(self, stream: str, pattern: str) -> tuple[StoredMessage, ...]:
        """Return the last message of every subject that matches ``pattern``."""
        newest = {
            m.subject: m for m in self._named(stream).messages if _matches(m.subject, pattern)
        }
        return tuple(newest.values())

    async def consume(self, binding: Binding, handler: Handler, on_reject: Rejected) -> None:
        """Hand messages over until cancelled, ``binding.concurrency`` at a time."""
        durable = self._durables.setdefault((binding.stream, binding.durable), _Durable())
        async with asyncio.TaskGroup() as group:
            for _ in range(binding.concurrency):
                group.create_task(self._work(binding, durable, handler, on_reject))

    async def listen(self, topic: Subject, listener: Listener) -> None:
        """Call ``listener`` for every message published from now on."""
        listeners = self._listeners.setdefault(topic, [])
        listeners.append(listener)
        try:
            await asyncio.Event().wait()
        finally:
            listeners.remove(listener)

    async def respond(self, topic: Subject, queue: str, responder: Responder) -> None:
        """Answer requests; of several responders the first that has an answer gives it."""
        responders = self._responders.setdefault(topic, [])
        responders.append(responder)
        await self._wake()
        try:
            await asyncio.Event().wait()
        finally:
            responders.remove(responder)

    def _tell(self, subject: str, payload: bytes) -> None:
        for pattern, listeners in self._listeners.items():
            if _matches(subject, pattern):
                for listener in listeners:
                    listener(payload)

    async def redeliver(self, binding: Binding) -> None:
        """Deliver every acknowledged message again, as after acknowledgements that were lost."""
        durable = self._durables[binding.stream, binding.durable]
        durable.again.extend(replace(d, deliveries=d.deliveries + 1) for d in durable.acked)
        await self._wake()

    # --- inside --------------------------------------------------------------------------------

    async def _work(
        self, binding: Binding, durable: _Durable, handler: Handler, on_reject: Rejected
    ) -> None:
        while True:
            delivery = await self._next(binding, durable)
            try:
                await _handled(binding, delivery, handler)
            except asyncio.CancelledError:
                durable.again.append(replace(delivery, deliveries=delivery.deliveries + 1))
                raise
            except SvcError as err:
                await self._judge(binding, durable, delivery, err, on_reject)
            except Exception as err:  # noqa: BLE001 (a bug in a handler is no reason to stop)
                await self._reject(durable, delivery, err, on_reject)
            else:
                durable.acked.append(delivery)

    async def _judge(
        self,
        binding: Binding,
        durable: _Durable,
        delivery: Delivery,
        error: SvcError,
        on_reject: Rejected,
    ) -> None:
        if error.disposition is Disposition.FATAL:
            raise error
        if error.disposition is Disposition.REJECT:
            await self._reject(durable, delivery, error, on_reject)
            return
        if delivery.deliveries >= binding.max_deliver:
            exhausted = DeliveryExhaustedError(deliveries=delivery.deliveries, last_code=error.code)
            await self._reject(durable, delivery, exhausted, on_reject)
            return
        try:
            await asyncio.sleep(binding.delay_after(delivery.deliveries).total_seconds())
        finally:
            durable.again.append(replace(delivery, deliveries=delivery.deliveries + 1))
        await self._wake()

    async def _reject(
        self, durable: _Durable, delivery: Delivery, error: Exception, on_reject: Rejected
    ) -> None:
        try:
            await on_reject(delivery, error)
        except Exception as err:
            if isinstance(err, SvcError) and err.disposition is Disposition.FATAL:
                raise
            durable.again.append(replace(delivery, deliveries=delivery.deliveries + 1))
            await self._wake()
        else:
            self.terminated.append(delivery)

    async def _next(self, binding: Binding, durable: _Durable) -> Delivery:
        stream = self._named(binding.stream)
        async with self._arrived:
            while not durable.again and durable.taken >= len(stream.messages):
                await self._arrived.wait()
            if durable.again:
                return durable.again.popleft()
            message = stream.messages[durable.taken]
            durable.taken += 1
        return Delivery(message.subject, message.payload, {}, message.sequence, 1)

    async def _wake(self) -> None:
        async with self._arrived:
            self._arrived.notify_all()

    def _stream_of(self, topic: str) -> _Stream:
        for spec in STREAMS:
            if any(_matches(topic, pattern) for pattern in spec.subjects):
                return self._named(spec.name)
        raise AccessDeniedError(f"no stream takes {topic}")

    def _named(self, stream: str) -> _Stream:
        return self._streams.setdefault(stream, _Stream())


async def _handled(binding: Binding, delivery: Delivery, handler: Handler) -> None:
    if delivery.deliveries > binding.max_deliver:
        raise DeliveryExhaustedError(deliveries=delivery.deliveries, last_code="none")
    await handler(delivery)


def _matches(topic: str, pattern: str) -> bool:
    return fnmatchcase(topic, pattern.replace(">", "*"))
