"""What outlives a link: listeners, responders and pull consumers that move from link to link.

Each binding can be attached to a new link before it is detached from the old one, so there is no
moment without a subscriber (make before break).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from svc_core.adapters.nats_link import NatsLink
from svc_core.domain.identity import Subject
from svc_core.errors import BusError, Disposition, SvcError
from svc_core.ports.bus import Binding, Delivery, Handler, Listener, Rejected, Responder

log = structlog.get_logger()

_PULL_EXPIRES_S: Final = 0.5
_PULL_GRACE_S: Final = 1.0
_PULL_PAUSE_S: Final = 0.1
_WIND_DOWN_S: Final = 2.0
_NANOSECONDS: Final = 1_000_000_000
_IDLE: Final = frozenset({"404", "408"})
_HEARTBEAT: Final = "100"
_ACK_TOKENS: Final = 9


class LinkBinding(Protocol):
    """Something that lives on the current link."""

    async def attach(self, link: NatsLink) -> None:
        """Start on ``link``; raise `BusError` when it is lost meanwhile."""
        ...

    async def detach(self, link: NatsLink) -> None:
        """Stop on ``link``, after handing over what it has already delivered."""
        ...


class ListenerBinding:
    """A plain subscription; every live message is handed to the listener."""

    def __init__(self, topic: Subject, listener: Listener) -> None:
        self._topic = topic
        self._listener = listener
        self._subscriptions: dict[NatsLink, Subscription] = {}

    async def attach(self, link: NatsLink) -> None:
        """Subscribe on ``link``."""

        async def deliver(message: Msg) -> None:
            self._listener(message.data)

        self._subscriptions[link] = await link.subscribe(self._topic, deliver)

    async def detach(self, link: NatsLink) -> None:
        """Unsubscribe from ``link``."""
        if (subscription := self._subscriptions.pop(link, None)) is not None:
            await link.unsubscribe(subscription)


class ResponderBinding:
    """A queue subscription that answers requests."""

    def __init__(self, topic: Subject, queue: str, responder: Responder) -> None:
        self._topic = topic
        self._queue = queue
        self._responder = responder
        self._subscriptions: dict[NatsLink, Subscription] = {}

    async def attach(self, link: NatsLink) -> None:
        """Join the queue group on ``link``."""

        async def answer(message: Msg) -> None:
            try:
                reply = await self._responder(message.data)
                if reply is not None and message.reply:
                    await link.send(message.reply, reply)
            except SvcError as err:
                log.warning("request.refused", topic=self._topic, code=err.code, reason=str(err))

        self._subscriptions[link] = await link.subscribe(self._topic, answer, queue=self._queue)

    async def detach(self, link: NatsLink) -> None:
        """Leave the queue group on ``link`` once what it delivered is answered."""
        if (subscription := self._subscriptions.pop(link, None)) is not None:
            await link.unsubscribe(subscription, drain=True)


class PullBinding:
    """A continuous pull on a durable consumer, handled by a fixed number of workers."""

    def __init__(
        self,
        binding: Binding,
        handler: Handler,
        on_reject: Rejected,
        current_link: Callable[[], Awaitable[NatsLink]],
    ) -> None:
        self._binding = binding
        self._handler = handler
        self._on_reject = on_reject
        self._current_link = current_link
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()
        self._pulls: dict[NatsLink, _Pull] = {}
        self._pulling: asyncio.TaskGroup | None = None
        """Where pulls run, from the start until the end has begun."""

    async def run(self) -> None:
        """Handle what arrives until cancelled; then return to the stream what was not finished."""
        async with asyncio.TaskGroup() as pulling:
            self._pulling = pulling
            try:
                async with asyncio.TaskGroup() as working:
                    for _ in range(self._binding.concurrency):
                        working.create_task(self._work())
            finally:
                self._pulling = None
                await self._wind_down()

    async def attach(self, link: NatsLink) -> None:
        """Start pulling on ``link``."""
        pull = _Pull(self._binding, link, self._arrived)
        await pull.open()
        if self._pulling is None:
            await pull.stop()
            return
        self._pulls[link] = pull
        pull.start(self._pulling)

    async def detach(self, link: NatsLink) -> None:
        """Ask for no more on ``link`` and wait until its outstanding pull has ended."""
        if (pull := self._pulls.pop(link, None)) is not None:
            await pull.stop()

    async def _wind_down(self) -> None:
        """Let the outstanding pulls run out, since the server would go on delivering to them."""
        try:
            async with asyncio.timeout(_WIND_DOWN_S):
                await self._return_unfinished()
                for link in tuple(self._pulls):
                    await self.detach(link)
                await self._return_unfinished()
        except TimeoutError:
            log.debug("deliveries.left", left=self._arrived.qsize())

    async def _return_unfinished(self) -> None:
        while not self._arrived.empty():
            await self._settle(self._arrived.get_nowait(), b"-NAK")

    async def _work(self) -> None:
        while True:
            message = await self._arrived.get()
            try:
                await self._settle(message, await self._verdict(message))
            except asyncio.CancelledError:
                self._arrived.put_nowait(message)
                raise

    async def _verdict(self, message: Msg) -> bytes:
        delivery = _delivery(message)
        try:
            await self._handler(delivery)
        except SvcError as err:
            if err.disposition is Disposition.FATAL:
                raise
            if err.disposition is Disposition.RETRY:
                log.warning("delivery.returned", code=err.code, deliveries=delivery.deliveries)
                delay = int(self._binding.retry_delay.total_seconds() * _NANOSECONDS)
                return b"-NAK " + msgspec.json.encode({"delay": delay})
            return await self._rejected(delivery, err)
        except Exception as err:
            log.exception("delivery.failed", stream=self._binding.stream)
            return await self._rejected(delivery, err)
        return b"+ACK"

    async def _rejected(self, delivery: Delivery, error: Exception) -> bytes:
        try:
            await self._on_reject(delivery, error)
        except BusError:
            return b"-NAK"
        return b"+TERM"

    async def _settle(self, message: Msg, verdict: bytes) -> None:
        # The acknowledgement may go over any link of this user, so a swap loses none.
        try:
            await (await self._current_link()).send(message.reply, verdict)
        except BusError:
            log.debug("ack.lost", stream=self._binding.stream)


class _Pull:
    """One link's continuous pull: ask, take what comes, ask again before it runs out."""

    def __init__(self, binding: Binding, link: NatsLink, arrived: asyncio.Queue[Msg]) -> None:
        self._binding = binding
        self._link = link
        self._arrived = arrived
        self._wanted = True
        self._left = 0
        self._pause = False
        self._turn = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._inbox = link.new_inbox()
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Subscribe the inbox that the stream delivers to."""
        self._subscription = await self._link.subscribe(self._inbox, self._on_message)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Keep one pull outstanding until stopped or the link is lost."""
        self._task = group.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._wanted and not self._link.is_lost:
                await self._pull_once()
        except BusError:
            log.debug("pull.ended", stream=self._binding.stream)

    async def stop(self) -> None:
        """Let the outstanding pull run out, then unsubscribe."""
        self._wanted = False
        if self._link.is_lost:
            self._turn.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._subscription is not None:
            await self._link.unsubscribe(self._subscription)

    async def _pull_once(self) -> None:
        self._turn.clear()
        self._left = self._binding.batch
        self._pause = False
        body = {"batch": self._binding.batch, "expires": int(_PULL_EXPIRES_S * _NANOSECONDS)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._binding.stream}.{self._binding.durable}"
        await self._link.send(subject, msgspec.json.encode(body), reply=self._inbox)
        try:
            async with asyncio.timeout(_PULL_EXPIRES_S + _PULL_GRACE_S):
                await self._turn.wait()
        except TimeoutError:
            log.debug("pull.unanswered", stream=self._binding.stream)
        if self._pause:
            await asyncio.sleep(_PULL_PAUSE_S)
        while self._wanted and self._arrived.qsize() > self._binding.batch:  # noqa: ASYNC110 (a queue has no event for "shorter than"; this is back-pressure, not a wait for a fact)
            await asyncio.sleep(_PULL_PAUSE_S)

    async def _on_message(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is None:
            self._arrived.put_nowait(message)
            self._left -= 1
            if self._left <= 0:
                self._turn.set()
        elif status != _HEARTBEAT:
            self._pause = status not in _IDLE
            self._turn.set()


def _delivery(message: Msg) -> Delivery:
    """Read the reply subject ``$JS.ACK.<stream>.<durable>.<deliveries>.<sequence>.…``."""
    tokens = message.reply.split(".")
    known = len(tokens) >= _ACK_TOKENS
    return Delivery(
        subject=message.subject,
        payload=message.data,
        headers=message.headers or {},
        sequence=int(tokens[5]) if known else 0,
        deliveries=int(tokens[4]) if known else 1,
    )
