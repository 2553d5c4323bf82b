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
from svc_core.adapters.nats_pulls import Intake, Pull
from svc_core.domain.identity import Subject
from svc_core.errors import BusError, DeliveryExhaustedError, Disposition, SvcError
from svc_core.ports.bus import Binding, Delivery, Handler, Listener, Rejected, Responder

log = structlog.get_logger()

_FINISH_S: Final = 1.0
_WIND_DOWN_S: Final = 1.5
_NANOSECONDS: Final = 1_000_000_000
_ACK_TOKENS: Final = 9


class LinkBinding(Protocol):
    """Something that lives on the current link."""

    async def attach(self, link: NatsLink) -> None:
        """Start on ``link``; raise `BusError` when it is lost meanwhile."""
        ...

    async def detach(self, link: NatsLink) -> None:
        """Stop on ``link``, after handing over what it has already delivered."""
        ...


class Bindings:
    """Everything that moves with one connection."""

    def __init__(self) -> None:
        self._bindings: set[LinkBinding] = set()

    def add(self, binding: LinkBinding) -> None:
        """Have ``binding`` move, too."""
        self._bindings.add(binding)

    def discard(self, binding: LinkBinding) -> None:
        """Leave ``binding`` where it is."""
        self._bindings.discard(binding)

    async def attach_all(self, link: NatsLink) -> None:
        """Bring every binding to ``link``; on failure leave nothing of it behind.

        Raises:
            BusError: ``link`` was lost meanwhile; it is closed.
        """
        try:
            for binding in tuple(self._bindings):
                await binding.attach(link)
            await link.flush()
        except BusError:
            await link.close()
            await self.detach_all(link)
            raise

    async def detach_all(self, link: NatsLink) -> None:
        """Take every binding from ``link``."""
        async with asyncio.TaskGroup() as group:
            for binding in tuple(self._bindings):
                group.create_task(binding.detach(link))


async def attached(binding: LinkBinding, link: NatsLink) -> None:
    """Attach one binding; whoever replaces a lost link attaches it to the next."""
    try:
        await binding.attach(link)
    except BusError:
        log.debug("binding.deferred", reason="link lost")


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
        """Unsubscribe from ``link`` once what it delivered has been handed over."""
        if (subscription := self._subscriptions.pop(link, None)) is not None:
            await link.unsubscribe(subscription, drain=True)


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
    """A continuous pull on a durable consumer, handled by a fixed number of workers.

    It asks for no more than its workers have room for, and tells the broker that the work goes on
    before the broker would deliver a message again that is still held here.
    """

    def __init__(
        self,
        binding: Binding,
        handler: Handler,
        on_reject: Rejected,
        current_link: Callable[[], Awaitable[NatsLink]],
        on_silence: Callable[[], None],
    ) -> None:
        """Be ready to run; ``on_silence`` is called for every pull that the broker leaves open."""
        self._binding = binding
        self._handler = handler
        self._on_reject = on_reject
        self._current_link = current_link
        self._on_silence = on_silence
        self._intake = Intake(binding)
        self._pulls: dict[NatsLink, Pull] = {}
        self._pulling: asyncio.TaskGroup | None = None
        """Where pulls run, from the start until the end has begun."""
        self._is_ending = False
        self._letters_fail = False
        self._under_way = 0
        self._is_quiet = asyncio.Event()

    async def run(self) -> None:
        """Handle what arrives until cancelled.

        What is under way then may finish within a second; what was not begun, or takes longer, is
        returned to the stream.
        """
        async with asyncio.TaskGroup() as pulling:
            self._pulling = pulling
            extending = pulling.create_task(self._extend())
            try:
                async with asyncio.TaskGroup() as working:
                    for _ in range(self._binding.concurrency):
                        working.create_task(self._work())
                    await self._until_cancelled()
            finally:
                self._pulling = None
                await self._wind_down()
                extending.cancel()

    async def attach(self, link: NatsLink) -> None:
        """Start pulling on ``link``."""
        pull = Pull(self._binding, link, self._intake, self._on_silence)
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

    # --- the end -------------------------------------------------------------------------------

    async def _until_cancelled(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self._is_ending = True
            for pull in self._pulls.values():
                pull.retire()
            await self._finish_under_way()

    async def _finish_under_way(self) -> None:
        try:
            async with asyncio.timeout(_FINISH_S):
                await self._return_unfinished()
                while self._under_way:
                    self._is_quiet.clear()
                    await self._is_quiet.wait()
        except TimeoutError:
            log.debug("deliveries.cut", left=self._under_way)

    async def _wind_down(self) -> None:
        """Let the outstanding pulls run out, since the server would go on delivering to them."""
        try:
            async with asyncio.timeout(_WIND_DOWN_S):
                await self._return_unfinished()
                for link in tuple(self._pulls):
                    await self.detach(link)
                await self._return_unfinished()
        except TimeoutError:
            log.debug("deliveries.left", left=self._intake.waiting)

    async def _return_unfinished(self) -> None:
        while (message := self._intake.take_nowait()) is not None:
            await self._settle(message, b"-NAK")

    # --- the work ------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            message = await self._intake.take()
            if self._is_ending:
                self._intake.put_back(message)
                return
            self._under_way += 1
            try:
                await self._settle(message, await self._verdict(message))
            except asyncio.CancelledError:
                self._intake.put_back(message)
                raise
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._is_quiet.set()

    async def _verdict(self, message: Msg) -> bytes:
        delivery = _delivery(message)
        try:
            await self._handle(delivery)
        except SvcError as err:
            if err.disposition is Disposition.FATAL:
                raise
            if err.disposition is Disposition.RETRY:
                return await self._postponed(delivery, err)
            return await self._rejected(delivery, err)
        except Exception as err:
            log.exception("delivery.failed", stream=self._binding.stream)
            return await self._rejected(delivery, err)
        return b"+ACK"

    async def _handle(self, delivery: Delivery) -> None:
        if delivery.deliveries > self._binding.max_deliver:
            # Nobody lived to say why the last one failed: this message may be the reason.
            raise DeliveryExhaustedError(deliveries=delivery.deliveries, last_code="none")
        await self._handler(delivery)

    async def _postponed(self, delivery: Delivery, error: SvcError) -> bytes:
        deliveries = delivery.deliveries
        if deliveries < self._binding.max_deliver:
            log.warning("delivery.returned", code=error.code, deliveries=deliveries)
            return self._later(deliveries)
        exhausted = DeliveryExhaustedError(deliveries=deliveries, last_code=error.code)
        return await self._rejected(delivery, exhausted)

    async def _rejected(self, delivery: Delivery, error: Exception) -> bytes:
        """Terminate the message once its rejection is recorded; until then it stays in its stream.

        A letter that cannot be stored is no reason to lose the message, whatever the cause.
        """
        try:
            await self._on_reject(delivery, error)
        except SvcError as err:
            if err.disposition is Disposition.FATAL:
                raise
            # Once per change: while the stream is full, every refused message comes by again.
            write = log.debug if self._letters_fail else log.warning
            write("letter.refused", code=err.code, deliveries=delivery.deliveries)
            self._letters_fail = True
            return self._later(delivery.deliveries)
        except Exception:
            log.exception("letter.failed", stream=self._binding.stream)
            return self._later(delivery.deliveries)
        self._letters_fail = False
        return b"+TERM"

    def _later(self, deliveries: int) -> bytes:
        delay = self._binding.delay_after(deliveries).total_seconds()
        return b"-NAK " + msgspec.json.encode({"delay": int(delay * _NANOSECONDS)})

    async def _settle(self, message: Msg, verdict: bytes) -> None:
        await self._say(message.reply, verdict)
        self._intake.settled(message)

    async def _extend(self) -> None:
        """Tell the broker about every message held for half of its patience; for ever."""
        half = self._binding.ack_wait.total_seconds() / 2
        while True:
            await asyncio.sleep(self._intake.due_in(half))
            for reply in self._intake.overdue(half):
                await self._say(reply, b"+WPI")

    async def _say(self, reply: str, word: bytes) -> None:
        # It may go over any link of this user, so a swap loses none.
        try:
            await (await self._current_link()).send(reply, word)
        except BusError:
            log.debug("ack.lost", stream=self._binding.stream)


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
