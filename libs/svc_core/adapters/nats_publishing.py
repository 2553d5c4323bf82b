"""Publishing: a bounded window of messages that wait for the broker to say that it has them.

A message is sent again under the same id, over whichever link is current, until it is acknowledged
or its deadline is over; the stream drops what it has already. The deadline ends before the stream
forgets the id (ADR-0022), so no repeat can be stored twice.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

import structlog
from nats.aio.msg import Msg

from svc_core.adapters.nats_answers import decode_ack
from svc_core.adapters.nats_unacknowledged import Unacknowledged
from svc_core.config import NatsSettings
from svc_core.domain.stranding import Silence, Stranding
from svc_core.errors import (
    AccessDeniedError,
    AnswerLostError,
    BusError,
    NobodyAnswersError,
    OrderBrokenError,
    OverloadedError,
    StreamFullError,
    UnacknowledgedError,
)
from svc_core.runtime.backoff import Backoff

log = structlog.get_logger()

_BACKOFF: Final = Backoff(timedelta(milliseconds=10), timedelta(seconds=2))


class AskingLink(Protocol):
    """What publishing needs of a link."""

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone."""
        ...

    async def ask(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        headers: dict[str, str] | None = None,
    ) -> Msg:
        """Send and return the answer; raise `AnswerLostError` when it may have been received."""
        ...


class Links(Protocol):
    """Where the link to use comes from."""

    @property
    def current_link(self) -> AskingLink | None:
        """The link to use now; None while there is none."""
        ...

    async def next_link(self) -> AskingLink:
        """Return the link to use as soon as there is one."""
        ...


@dataclass(slots=True)
class PublishCounts:
    """What publishing does now and has done since it began."""

    in_flight: int = 0
    """Messages in the window."""
    waiting: int = 0
    """Messages that wait for room in it or for their turn."""
    repeated: int = 0
    """Attempts beyond the first."""
    waited: int = 0
    """Messages that did not get into the window at once."""


@dataclass(slots=True)
class _Message:
    topic: str
    payload: bytes
    headers: dict[str, str]
    deadline: float
    """Loop time."""
    may_be_stored: bool = False
    """It was sent at least once and nobody has said what became of that."""
    was_copied: bool = False
    """Another server was tried with it."""
    has_waited: bool = False

    @property
    def is_in_doubt(self) -> bool:
        """Whether it may be stored, or still be."""
        return self.may_be_stored or self.was_copied


@dataclass(slots=True)
class _Lane:
    """The messages of one ordering key: one in flight, the others in the order they came."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    breaks: int = 0
    """How often a message was given up that may still land."""


class Publisher:
    """Publishes for one connection; used from one event loop."""

    def __init__(self, settings: NatsSettings, links: Links) -> None:
        """Start with an empty window over ``links``; ``settings`` say how large and how patient."""
        self._deadline_s = settings.publish_deadline.total_seconds()
        self._attempt_s = settings.ack_timeout.total_seconds()
        self._room = asyncio.Semaphore(settings.publish_window)
        self._most = settings.publish_window + settings.publish_waiting
        self._links = links
        self._lanes: dict[str, _Lane] = {}
        self._unacknowledged: Unacknowledged[AskingLink, _Message] = Unacknowledged()
        self.counts = PublishCounts()

    async def publish(
        self, topic: str, payload: bytes, *, message_id: str, ordering_key: str = ""
    ) -> bool:
        """Store one message, repeating under the same id until the broker has acknowledged it.

        Returns:
            False when the broker had it already, from an earlier call or from an attempt of this
            one whose acknowledgement was lost.

        Raises:
            OverloadedError: too many wait for the window, or there was no room within the deadline.
            StreamFullError: the stream has no room; said at once.
            UnacknowledgedError: sent, but not acknowledged within the deadline.
            OrderBrokenError: an earlier message of this key was given up; this one was not sent.
            BusError: not sent, or refused each time, until the deadline.
            AccessDeniedError: this user may not publish there.
        """
        if self.counts.in_flight + self.counts.waiting >= self._most:
            raise OverloadedError("too many messages wait to be published")
        deadline = asyncio.get_running_loop().time() + self._deadline_s
        message = _Message(topic, payload, {"Nats-Msg-Id": message_id}, deadline)
        if not ordering_key:
            return await self._in_window(message)
        async with self._turn(ordering_key, message):
            return await self._in_window(message)

    async def _in_window(self, message: _Message) -> bool:
        # Nearly every message finds room, a link and an answer: no timer is set for those.
        if self._room.locked():
            await self._waited(message, self._room.acquire())
        else:
            await self._room.acquire()
        self.counts.in_flight += 1
        try:
            return await self._until_stored(message)
        finally:
            self._unacknowledged.ended(message.topic, message)
            self.counts.in_flight -= 1
            self._room.release()

    async def _until_stored(self, message: _Message) -> bool:
        delays = iter(_BACKOFF)
        is_first_loss = True
        while True:
            link = self._links.current_link or await self._next_link(message)
            try:
                return await self._attempt(message, link)
            except StreamFullError:
                # Waiting here would keep from their work those who could be done.
                raise
            except BusError as err:
                log.debug("publish.repeated", topic=message.topic, reason=str(err))
            self.counts.repeated += 1
            if link.is_lost and is_first_loss:
                # The next link is worth waiting for, but nothing beside it.
                is_first_loss = False
                continue
            await self._pause(message, next(delays).total_seconds())

    async def _attempt(self, message: _Message, link: AskingLink) -> bool:
        self._unacknowledged.begun(message.topic, message)
        began = asyncio.get_running_loop().time()
        was_in_doubt, message.may_be_stored = message.may_be_stored, True
        try:
            is_new = await self._ask(message, link)
        except BaseException as err:
            if isinstance(err, Exception) and not isinstance(err, AnswerLostError):
                # It was refused, or never left: this attempt leaves no doubt, an earlier one may.
                message.may_be_stored = was_in_doubt
            self._note_failure(message, link, err, began)
            raise
        message.may_be_stored = message.was_copied = False
        self._unacknowledged.acknowledged(message.topic)
        return is_new

    async def _ask(self, message: _Message, link: AskingLink) -> bool:
        left_s = message.deadline - asyncio.get_running_loop().time()
        answer = await link.ask(
            message.topic,
            message.payload,
            timeout_s=min(self._attempt_s, left_s),
            headers=message.headers,
        )
        _, duplicate = decode_ack(answer)
        return not duplicate

    # --- other servers -------------------------------------------------------------------------

    def silences(self, link: AskingLink) -> Mapping[str, Silence]:
        """Return by topic since when nothing was acknowledged over ``link``.

        Only those topics of which a message is under way, with which another link can be tried.
        """
        return self._unacknowledged.over(link)

    def is_silent(self, link: AskingLink, topic: str) -> bool:
        """Say whether nothing was acknowledged on ``topic`` since its silence began."""
        return self._unacknowledged.is_silent(link, topic)

    async def is_taken(self, link: AskingLink, topic: str) -> bool:
        """Say whether ``link``, which is not in use, takes what waits on ``topic``.

        The same message is sent under the same id, so the stream keeps one of the copies.
        """
        message = self._unacknowledged.message_of(topic)
        if message is None:
            return False
        message.was_copied = True
        try:
            await self._ask(message, link)
        except StreamFullError:
            return True
        except (BusError, AccessDeniedError):
            return False
        return True

    def _note_failure(
        self, message: _Message, link: AskingLink, error: BaseException, began: float
    ) -> None:
        if isinstance(error, StreamFullError):
            self._unacknowledged.acknowledged(message.topic)
            return
        reason = _stranding(error)
        if reason is not None:
            silence = Silence(reason, began, asyncio.get_running_loop().time())
            self._unacknowledged.failed(message.topic, message, link, silence)

    # --- waiting -------------------------------------------------------------------------------

    async def _waited(self, message: _Message, entry: Awaitable[object]) -> None:
        """Wait for room or for one's turn."""
        if not message.has_waited:
            message.has_waited = True
            self.counts.waited += 1
        self.counts.waiting += 1
        try:
            async with asyncio.timeout_at(message.deadline):
                await entry
        except TimeoutError as err:
            raise OverloadedError(f"no room to publish within {self._deadline_s} s") from err
        finally:
            self.counts.waiting -= 1

    async def _next_link(self, message: _Message) -> AskingLink:
        try:
            async with asyncio.timeout_at(message.deadline):
                return await self._links.next_link()
        except TimeoutError as err:
            raise self._given_up(message) from err

    async def _pause(self, message: _Message, delay_s: float) -> None:
        left_s = message.deadline - asyncio.get_running_loop().time()
        await asyncio.sleep(min(delay_s, left_s))
        if left_s <= delay_s:
            raise self._given_up(message)

    def _given_up(self, message: _Message) -> BusError:
        reason = f"no acknowledgement on {message.topic} within {self._deadline_s} s"
        return UnacknowledgedError(reason) if message.is_in_doubt else BusError(reason)

    # --- order ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def _turn(self, key: str, message: _Message) -> AsyncIterator[None]:
        """Wait until every earlier message of ``key`` is acknowledged or was refused.

        One in flight: with more, the loss of one would let those behind it overtake its repeat.
        """
        lane = self._lanes.setdefault(key, _Lane())
        lane.users += 1
        breaks = lane.breaks
        try:
            if lane.turn.locked():
                await self._waited(message, lane.turn.acquire())
            else:
                await lane.turn.acquire()
            try:
                if lane.breaks != breaks:
                    raise OrderBrokenError(f"an earlier message of {key} may still be stored")
                yield
            finally:
                # Given up or cancelled while nobody knows where it is.
                lane.breaks += message.is_in_doubt
                lane.turn.release()
        finally:
            lane.users -= 1
            if not lane.users:
                del self._lanes[key]


def _stranding(error: BaseException) -> Stranding | None:
    """Return how the server did not take a message; None when that was not its fault."""
    match error:
        case NobodyAnswersError():
            return Stranding.NOBODY
        case AnswerLostError() | asyncio.CancelledError():
            return Stranding.SILENCE
        case BusError():
            return Stranding.REFUSAL
        case _:
            return None
