"""One connection to one NATS server: the unit that `NatsConnection` swaps.

A link never reconnects by itself. When it is lost its waiters fail at once and its owner opens
another, so nothing is buffered out of sight and a message has exactly one way to be repeated.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import structlog
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from svc_core.adapters.nats_answers import Answers
from svc_core.adapters.nats_client import (
    NETWORK_ERRORS,
    abort,
    close_quietly,
    discard,
    flush_all,
    leave,
    new_client,
    next_unique_name,
)
from svc_core.errors import (
    AccessDeniedError,
    AnswerLostError,
    BusError,
    NobodyAnswersError,
    OversizedMessageError,
)

log = structlog.get_logger()

_VIOLATION: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"')
NO_RESPONDERS: Final = "503"
"""Status of the answer that a server gives when nobody is there to."""
_LOOK_S: Final = 0.2
_LOOKS_PER_PING: Final = 5
_SILENCE_S: Final = 3
# The client's own pings only have to keep it from giving up before `NatsLink.watch` does.
_PING_INTERVAL_S: Final = 60
_CONGESTED: Final = 1 << 20
"""Unsent bytes from which on sending may wait: half of where the client begins to."""


Callback = Callable[[Msg], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class LinkCredentials:
    """The certificate a link is made with."""

    context: ssl.SSLContext
    issuer: str
    chain_pem: str


@dataclass(frozen=True, slots=True)
class LinkTarget:
    """Where and as whom to connect."""

    url: str
    credentials: LinkCredentials
    inbox_prefix: str
    name: str
    connect_timeout_s: float


class NatsLink:
    """A live connection with its own acknowledgement inbox."""

    def __init__(self, client: Client, target: LinkTarget) -> None:
        self._client = client
        self._target = target
        self._answers = Answers()
        self._next_token = 0
        self._is_connecting = True
        self._inbox = f"{target.inbox_prefix}.{next_unique_name(client)}"
        self.lost = asyncio.Event()
        """Set once the connection is gone, whoever ended it."""

    @classmethod
    async def open(cls, target: LinkTarget) -> "NatsLink":
        """Connect, or raise `BusError` / `AccessDeniedError` within the connect time-out."""
        client = new_client()
        link = cls(client, target)
        try:
            async with asyncio.timeout(target.connect_timeout_s):
                await client.connect(
                    servers=[target.url],
                    **link._tls_options(),
                    allow_reconnect=False,
                    connect_timeout=max(1, int(target.connect_timeout_s)),
                    inbox_prefix=target.inbox_prefix,
                    name=target.name,
                    ping_interval=_PING_INTERVAL_S,
                    error_cb=link._on_error,
                    closed_cb=link._on_closed,
                    disconnected_cb=link._on_closed,
                )
                link._is_connecting = False
                await client.subscribe(f"{link._inbox}.*", cb=link._answers.receive)
                await link.flush()
        except (*NETWORK_ERRORS, BusError) as err:
            await discard(client)
            if "Authorization Violation" in str(err):
                raise AccessDeniedError(f"NATS at {target.url} knows no such user") from err
            raise BusError(f"cannot connect to {target.url}: {_brief(err)}") from err
        except asyncio.CancelledError:
            await discard(client)
            raise
        return link

    def _tls_options(self) -> dict[str, Any]:
        """Return what the client is told about TLS; only a benchmark's link has less to say."""
        return {"tls": self._target.credentials.context, "tls_handshake_first": True}

    @property
    def url(self) -> str:
        """The server this link goes to."""
        return self._target.url

    @property
    def credentials(self) -> LinkCredentials:
        """The certificate this link was made with."""
        return self._target.credentials

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone."""
        return self.lost.is_set()

    async def watch(self, is_used: Callable[[], bool]) -> None:
        """Return once the connection is gone, or soon after it is used no more.

        One on which no ping comes back counts as gone.
        """
        looks = count(1)
        while not self.is_lost and is_used():
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self.lost.wait()
            if self._client.is_closed:
                # The client can end without telling anybody, when its own writer fails.
                self._mark_lost()
            elif next(looks) % _LOOKS_PER_PING == 0:
                await self._ping()

    async def _ping(self) -> None:
        if not await self.is_answering(within_s=_SILENCE_S) and not self.is_lost:
            log.debug("link.silent", url=self.url)
            self._mark_lost()

    async def ask(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        headers: dict[str, str] | None = None,
    ) -> Msg:
        """Publish with a reply inbox and return the answer.

        Raises:
            AnswerLostError: no answer in time, or the link was lost meanwhile.
            BusError: the link was lost before; nothing was sent.
            NobodyAnswersError: nobody was there to receive it, so it may be sent again safely.
            AccessDeniedError: the server said that this user may not publish there.
        """
        self._next_token += 1
        reply = f"{self._inbox}.{self._next_token}"
        answer = self._answers.expect(reply, subject, timeout_s=timeout_s)
        try:
            if self._client.pending_data_size < _CONGESTED:
                await self.send(subject, payload, reply=reply, headers=headers)
            else:
                # The server takes nothing at the moment, so this may wait.
                await self._send_within(timeout_s, subject, payload, reply, headers)
            message = await answer
        finally:
            self._answers.forget(reply)
        if (message.headers or {}).get("Status") == NO_RESPONDERS:
            raise NobodyAnswersError(f"nobody answers on {subject}")
        return message

    async def _send_within(
        self,
        timeout_s: float,
        subject: str,
        payload: bytes,
        reply: str,
        headers: dict[str, str] | None,
    ) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self.send(subject, payload, reply=reply, headers=headers)
        except TimeoutError as err:
            raise AnswerLostError(f"no answer on {subject} in time") from err

    async def send(
        self,
        subject: str,
        payload: bytes,
        *,
        reply: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Publish without waiting for anything."""
        if self.is_lost:
            raise BusError("the connection is gone")
        try:
            await self._client.publish(subject, payload, reply=reply, headers=headers)
        except nats_errors.MaxPayloadError as err:
            raise OversizedMessageError(f"{len(payload)} bytes are too many for NATS") from err
        except NETWORK_ERRORS as err:
            if self._client.is_closed:
                # The client says so a moment later, after the TLS shutdown.
                self._mark_lost()
            raise BusError(f"cannot publish on {subject}: {_brief(err)}") from err

    async def subscribe(self, subject: str, callback: Callback, *, queue: str = "") -> Subscription:
        """Subscribe; ``callback`` is a coroutine function over `Msg`."""
        try:
            return await self._client.subscribe(subject, queue=queue, cb=callback)
        except NETWORK_ERRORS as err:
            raise BusError(f"cannot subscribe to {subject}: {_brief(err)}") from err

    async def unsubscribe(self, subscription: Subscription, *, drain: bool = False) -> None:
        """End a subscription; with ``drain`` what is on its way to it is still handed over."""
        if self.is_lost:
            return
        try:
            if drain:
                within_s = self._target.connect_timeout_s
                await leave(self._client, subscription, within_s=within_s)
            else:
                await subscription.unsubscribe()
        except NETWORK_ERRORS:
            return

    async def flush(self) -> None:
        """Wait until the server has seen everything sent so far."""
        try:
            async with asyncio.timeout(self._target.connect_timeout_s):
                await flush_all(self._client)
        except NETWORK_ERRORS as err:
            raise BusError(f"cannot flush to {self.url}: {_brief(err)}") from err

    def new_inbox(self) -> str:
        """Return a fresh subject under this user's own inbox prefix."""
        return self._client.new_inbox()

    async def settle(self, *, within_s: float) -> None:
        """Wait until every `ask` under way has its answer, at most ``within_s``."""
        if not self.is_lost:
            await self._answers.settle(within_s=within_s)

    async def is_answering(self, *, within_s: float) -> bool:
        """Say whether a ping comes back in time."""
        try:
            async with asyncio.timeout(within_s):
                await self._client.flush()
        except NETWORK_ERRORS:
            return False
        return True

    def give_up_waiting(self) -> None:
        """Tell everybody who waits for an answer here that none will come."""
        self._answers.fail(lambda: AnswerLostError("the server answers nothing"))

    def abort(self) -> None:
        """Disconnect now, whatever is under way."""
        abort(self._client)
        self._mark_lost()

    async def close(self) -> None:
        """Flush what is left and disconnect; cut short by a cancellation it still disconnects."""
        try:
            if not self.is_lost:
                await self.flush()
        except BusError:
            log.debug("link.flush_failed", url=self.url)
        finally:
            await close_quietly(self._client)
            self._mark_lost()

    async def _on_error(self, error: Exception) -> None:
        if self._is_connecting:
            # The client would try again by itself; one link is one attempt.
            raise BusError(_brief(error)) from error
        violation = _VIOLATION.search(str(error).lower())
        if violation is None:
            log.debug("link.errored", url=self.url, error=_brief(error))
            return
        verb, subject = violation.groups()
        log.warning("bus.permission_denied", verb=verb, subject=subject)
        self._answers.fail(
            lambda: AccessDeniedError(f"NATS forbids {verb} on {subject}"), subject=subject
        )

    async def _on_closed(self) -> None:
        self._mark_lost()

    def _mark_lost(self) -> None:
        self.lost.set()
        self._answers.fail(
            lambda: AnswerLostError("the connection was lost before the answer came")
        )
        self._answers.close()


def _brief(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text[:200]
