"""`Bus` on NATS, whose connection can be replaced while everything goes on.

Make before break: a second link is opened with the new certificate, consumers are attached to it,
publishers moved, and only then is the first drained and closed (measurements: ADR-0011).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import ClassVar, Final

import structlog

from svc_core.adapters import nats_stored
from svc_core.adapters.nats_bindings import (
    Bindings,
    LinkBinding,
    ListenerBinding,
    PullBinding,
    ResponderBinding,
    attached,
)
from svc_core.adapters.nats_dialing import Dialer, NatsUser
from svc_core.adapters.nats_escape import Escape, Refuge, opened_if
from svc_core.adapters.nats_gathering import ask_all
from svc_core.adapters.nats_link import LinkCredentials, NatsLink
from svc_core.adapters.nats_publishing import PublishCounts, Publisher
from svc_core.config import NatsSettings
from svc_core.domain.identity import Subject
from svc_core.domain.stranding import Stranding
from svc_core.errors import (
    AccessDeniedError,
    BusError,
    NobodyAnswersError,
    TlsMaterialError,
)
from svc_core.ports.bus import Binding, Handler, Listener, Rejected, Responder, StoredMessage
from svc_core.ports.time import Entropy
from svc_core.runtime.backoff import Backoff

__all__ = ["NatsConnection", "NatsUser", "open_bus"]

log = structlog.get_logger()

_SETTLE_S: Final = 2.0
_BACKOFF: Final = Backoff(timedelta(milliseconds=50), timedelta(seconds=2))


class NatsConnection:
    """One NATS user's connection, through swaps and losses."""

    name: Final = "nats-connection"
    link_type: ClassVar[type[NatsLink]] = NatsLink

    def __init__(
        self,
        settings: NatsSettings,
        user: NatsUser,
        credentials: Callable[[], LinkCredentials],
        entropy: Entropy,
    ) -> None:
        self._user = user
        self._dialer = Dialer(settings, user, credentials, entropy, self.link_type)
        self._current: NatsLink | None = None
        self._has_link = asyncio.Event()
        self._changing = asyncio.Lock()
        self._bindings = Bindings()
        self._publisher = Publisher(settings, self)
        self._escape: Escape[NatsLink] = Escape(settings, self._publisher, self._dialer, entropy)
        self.swaps = 0
        self.losses = 0
        self.moves: Counter[Stranding] = Counter()
        """Moves away from a server that took nothing any more, by how it did not."""
        self.on_silence: Callable[[], None] = lambda: None
        """Called when a consumer hears nothing from the broker, not even that there is nothing.

        Whoever only consumes publishes little, and only publishing tells a server that is cut off
        from one that is not: so have something published.
        """

    @property
    def is_connected(self) -> bool:
        """Whether a live link is there now."""
        return self._current is not None and not self._current.is_lost

    @property
    def issuer(self) -> str:
        """Issuer of the certificate the live connection was made with; empty without one."""
        return self._current.credentials.issuer if self._current and self.is_connected else ""

    @property
    def current_link(self) -> NatsLink | None:
        """The link to use now; None while there is none."""
        return None if self._current is None or self._current.is_lost else self._current

    @property
    def publishing(self) -> PublishCounts:
        """What is being published now, and what it took so far."""
        return self._publisher.counts

    @property
    def leaf_in_use(self) -> str:
        """The certificate chain (PEM) the live connection was made with; empty without one."""
        return self._current.credentials.chain_pem if self._current and self.is_connected else ""

    async def run(self) -> None:
        """Connect, and open another link whenever the current one is lost or stranded; for ever."""
        while True:
            link = await self._restored()
            await link.watch(partial(self._is_served_by, link))
            if link is not self._current:
                continue
            if link.is_lost:
                self.losses += 1
                log.warning("connection.lost", url=link.url, user=self._user.account)
            else:
                await self._escape_from(link)

    async def next_link(self) -> NatsLink:
        """Return the link to use as soon as there is one."""
        while True:
            await self._has_link.wait()
            if self._current is not None and not self._current.is_lost:
                return self._current
            self._has_link.clear()
            if self._current is not None and not self._current.is_lost:
                self._has_link.set()

    async def swap(self) -> None:
        """Move everything to a new link made with the newest context.

        Raises:
            BusError, AccessDeniedError: no new link could be had; the old one goes on.
        """
        async with self._changing:
            former, live = self._current, self.current_link
            fresh = await (self._dialer.stay(live.url) if live is not None else self._opened())
            await self._take(fresh)
            self.swaps += 1
        # Not under the lock: if the new link is lost meanwhile, the next must not wait for this.
        if former is not None:
            if former.url != fresh.url and not await former.is_answering(within_s=_SETTLE_S / 2):
                former.abort()
            await self._retire(former)

    async def move_if(
        self, is_better: Callable[[NatsLink], Awaitable[bool]], reason: Stranding
    ) -> bool:
        """Move to another server that ``is_better``, and return whether there was one.

        Args:
            is_better: whether a link, which is not in use yet, does what the current one does not.
            reason: what that is.
        """
        link = self.current_link
        for url in self._dialer.elsewhere(link.url) if link is not None else ():
            fresh = await opened_if(self._dialer, url, is_better)
            if fresh is not None and link is not None:
                return await self._move(Refuge(fresh, reason, 0.0), link)
        return False

    async def close(self) -> None:
        """Disconnect for good."""
        self._has_link.clear()
        link, self._current = self._current, None
        if link is not None:
            await link.close()

    # --- Bus -----------------------------------------------------------------------------------

    async def publish(
        self, topic: str, payload: bytes, *, message_id: str, ordering_key: str = ""
    ) -> bool:
        """Store one message; see `Publisher.publish`."""
        return await self._publisher.publish(
            topic, payload, message_id=message_id, ordering_key=ordering_key
        )

    async def request(self, topic: Subject, payload: bytes, *, timeout: timedelta) -> bytes:
        """Ask and return the answer, waiting for somebody to be there within ``timeout``."""
        limit = timeout.total_seconds()
        reason = BusError("not connected to NATS")
        try:
            async with asyncio.timeout(limit):
                for delay in _BACKOFF:
                    link = await self.next_link()
                    reason = BusError(f"no answer on {topic} within {limit} s")
                    try:
                        return (await link.ask(topic, payload, timeout_s=limit)).data
                    except NobodyAnswersError as err:
                        # Nobody has received it. Another node may not know yet who moved there.
                        reason = err
                    await asyncio.sleep(delay.total_seconds())
        except TimeoutError as err:
            raise reason from err
        raise reason

    async def request_raw(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Ask on any subject, such as JetStream's and the system account's."""
        return (await (await self._link_now()).ask(subject, payload, timeout_s=timeout_s)).data

    async def request_all(
        self, subject: str, payload: bytes, *, expected: int, window_s: float
    ) -> list[bytes]:
        """Ask everybody and return the answers: ``expected`` of them, or what came in time."""
        link = await self._link_now()
        answers = await ask_all(link, subject, payload, expected=expected, window_s=window_s)
        return [m.data for m in answers]

    async def fetch_last(self, stream: str, topic: str) -> StoredMessage | None:
        """Return the last message stored on ``topic``, or None."""
        return await nats_stored.fetch_last(await self._link_now(), stream, topic)

    async def fetch_last_matching(self, stream: str, pattern: str) -> tuple[StoredMessage, ...]:
        """Return the last message of every subject that matches ``pattern``."""
        return await nats_stored.fetch_last_matching(await self._link_now(), stream, pattern)

    async def fetch_from(
        self, stream: str, pattern: str, *, first: int, most: int
    ) -> tuple[StoredMessage, ...]:
        """Return up to ``most`` messages that match ``pattern``, oldest first.

        Args:
            stream: the stream.
            pattern: of subjects; may have wildcards.
            first: least sequence, 1 or more.
            most: about how many; a few MiB of them at a time.
        """
        link = await self._link_now()
        return await nats_stored.fetch_from(link, stream, pattern, first=first, most=most)

    async def send(self, subject: str, payload: bytes) -> None:
        """Publish a hint that nobody needs to acknowledge."""
        await (await self._link_now()).send(subject, payload)

    async def consume(self, binding: Binding, handler: Handler, on_reject: Rejected) -> None:
        """Handle messages for ever, across swaps; ends only by cancellation."""
        pull = PullBinding(binding, handler, on_reject, self.next_link, self._say_silent)
        async with asyncio.TaskGroup() as group:
            holding = group.create_task(self._hold(pull))
            try:
                await pull.run()
            finally:
                holding.cancel()

    async def listen(self, topic: Subject, listener: Listener) -> None:
        """Call ``listener`` for every live message on ``topic`` for ever, across swaps."""
        await self._hold(ListenerBinding(topic, listener))

    async def respond(self, topic: Subject, queue: str, responder: Responder) -> None:
        """Answer requests on ``topic`` as one of ``queue`` for ever, across swaps."""
        await self._hold(ResponderBinding(topic, queue, responder))

    # --- links ---------------------------------------------------------------------------------

    def _say_silent(self) -> None:
        self.on_silence()

    def _is_served_by(self, link: NatsLink) -> bool:
        return link is self._current and not self._escape.is_due(link)

    async def _escape_from(self, link: NatsLink) -> None:
        """Move away from a server that answers pings and takes nothing, if another one does."""
        refuge = await self._escape.find(link)
        if refuge is not None:
            await self._move(refuge, link)

    async def _move(self, refuge: Refuge[NatsLink], link: NatsLink) -> bool:
        """Use another link instead of ``link`` and return whether that is so now."""
        if not await self._is_taken_instead(refuge.link, link):
            return False
        self.moves[refuge.reason] += 1
        log.warning(
            "connection.moved",
            url=refuge.link.url,
            former=link.url,
            user=self._user.account,
            reason=refuge.reason.value,
            silent_s=refuge.silent_s,
        )
        # Whoever waits there would wait in vain, and may send it again over the new link.
        link.give_up_waiting()
        await self._retire(link)
        return True

    async def _is_taken_instead(self, fresh: NatsLink, link: NatsLink) -> bool:
        """Use ``fresh`` instead of ``link``; not if that is in use no more, or ``fresh`` lost."""
        is_taken = False
        try:
            async with self._changing:
                if self._current is link:
                    await self._take(fresh)
                    is_taken = True
        except BusError as err:
            log.debug("connection.not_moved", reason=str(err))
        finally:
            if not is_taken:
                fresh.abort()
        return is_taken

    async def _take(self, fresh: NatsLink) -> None:
        """Use ``fresh`` from now on, with everything attached to it."""
        await self._bindings.attach_all(fresh)
        self._current = fresh
        self._has_link.set()

    async def _hold(self, binding: LinkBinding) -> None:
        async with self._changing:
            self._bindings.add(binding)
            if self._current is not None and not self._current.is_lost:
                await attached(binding, self._current)
        try:
            await asyncio.Event().wait()
        finally:
            self._bindings.discard(binding)
            if self._current is not None:
                await binding.detach(self._current)

    async def _restored(self) -> NatsLink:
        if self._current is not None and not self._current.is_lost:
            return self._current
        async with self._changing:
            if self._current is not None and not self._current.is_lost:
                return self._current
            self._has_link.clear()
            former = self._current
            self._current = await self._open_persistently()
            self._has_link.set()
            log.info("connection.opened", url=self._current.url, user=self._user.account)
            if former is not None:
                await self._bindings.detach_all(former)
                await former.close()
            return self._current

    async def _open_persistently(self) -> NatsLink:
        reported = False
        for delay in _BACKOFF:
            try:
                link = await self._opened()
                await self._bindings.attach_all(link)
            except TlsMaterialError:
                log.debug("connection.waiting", reason="no certificate yet")
                await asyncio.sleep(_BACKOFF.first.total_seconds())
            except (BusError, AccessDeniedError) as err:
                if not reported:
                    log.warning("connection.failed", code=err.code, reason=str(err))
                    reported = True
                await asyncio.sleep(delay.total_seconds())
            else:
                return link
        raise BusError("no connection")

    async def _opened(self) -> NatsLink:
        # Whoever has just fallen silent comes last.
        return await self._dialer.anywhere(last=self._current.url if self._current else "")

    async def _retire(self, link: NatsLink) -> None:
        await self._bindings.detach_all(link)
        await link.settle(within_s=_SETTLE_S)
        await link.close()

    async def _link_now(self) -> NatsLink:
        if self._current is None or self._current.is_lost:
            raise BusError("not connected to NATS")
        return self._current


@asynccontextmanager
async def open_bus(connection: NatsConnection) -> AsyncIterator[NatsConnection]:
    """Close ``connection`` at the end."""
    try:
        yield connection
    finally:
        await connection.close()
