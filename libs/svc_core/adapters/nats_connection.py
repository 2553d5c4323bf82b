"""`Bus` on NATS, whose connection can be replaced while everything goes on.

Make before break: a second link is opened with the new certificate, consumers are attached to it,
publishers moved, and only then is the first drained and closed (measurements: ADR-0011).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import ClassVar, Final

import msgspec
import structlog
from nats.aio.msg import Msg

from svc_core.adapters.nats_bindings import (
    LinkBinding,
    ListenerBinding,
    PullBinding,
    ResponderBinding,
)
from svc_core.adapters.nats_link import LinkCredentials, LinkTarget, NatsLink
from svc_core.adapters.nats_publishing import PublishCounts, Publisher
from svc_core.config import NatsSettings
from svc_core.domain.identity import Subject
from svc_core.domain.subjects import inbox_prefix
from svc_core.errors import (
    AccessDeniedError,
    BusError,
    NobodyAnswersError,
    TlsMaterialError,
)
from svc_core.ports.bus import Binding, Handler, Listener, Rejected, Responder, StoredMessage
from svc_core.ports.time import Entropy
from svc_core.runtime.backoff import Backoff

log = structlog.get_logger()

_SETTLE_S: Final = 2.0
_BACKOFF: Final = Backoff(timedelta(milliseconds=50), timedelta(seconds=2))
_REQUEST_S: Final = 2.0
_BATCH_BYTES: Final = 4 << 20
_END_OF_BATCH: Final = frozenset({"204", "404"})


@dataclass(frozen=True, slots=True)
class NatsUser:
    """Who connects: the NATS account name, and the name shown in monitoring."""

    account: str
    client_name: str


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
        self._settings = settings
        self._user = user
        self._credentials = credentials
        self._entropy = entropy
        self._current: NatsLink | None = None
        self._has_link = asyncio.Event()
        self._changing = asyncio.Lock()
        self._bindings: set[LinkBinding] = set()
        self._publisher = Publisher(settings, self)
        self.swaps = 0
        self.losses = 0

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
        """Connect, and open another link whenever the current one is lost; for ever."""
        while True:
            link = await self._restored()
            await link.watch(partial(self._uses, link))
            if link is self._current:
                self.losses += 1
                log.warning("connection.lost", url=link.url, user=self._user.account)

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
            known = self._current.url if self._current and self.is_connected else ""
            fresh = await self._open(first=known)
            await self._attach_new(fresh)
            former, self._current = self._current, fresh
            self._has_link.set()
            self.swaps += 1
        # Not under the lock: if the new link is lost meanwhile, the next must not wait for this.
        if former is not None:
            await self._retire(former)

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
        return [m.data for m in await link.ask_all(subject, payload, expected, window_s)]

    async def fetch_last(self, stream: str, topic: str) -> StoredMessage | None:
        """Return the last message stored on ``topic``, or None."""
        link = await self._link_now()
        subject = f"$JS.API.DIRECT.GET.{stream}.{topic}"
        answer = await link.ask(subject, b"", timeout_s=_REQUEST_S)
        headers = answer.headers or {}
        if "Status" in headers and "Nats-Sequence" not in headers:
            return None
        return StoredMessage(topic, answer.data, int(headers.get("Nats-Sequence", 0)))

    async def fetch_last_matching(self, stream: str, pattern: str) -> tuple[StoredMessage, ...]:
        """Return the last message of every subject that matches ``pattern``."""
        link = await self._link_now()
        answers = await link.ask_until(
            f"$JS.API.DIRECT.GET.{stream}",
            b'{"multi_last":["' + pattern.encode() + b'"]}',
            timeout_s=_REQUEST_S,
            is_last=lambda m: (m.headers or {}).get("Status") in _END_OF_BATCH,
        )
        return tuple(_stored(m) for m in answers)

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
        query = {"batch": most, "max_bytes": _BATCH_BYTES, "seq": first, "next_by_subj": pattern}
        answers = await link.ask_until(
            f"$JS.API.DIRECT.GET.{stream}",
            msgspec.json.encode(query),
            timeout_s=_REQUEST_S,
            # A stored message may carry any header, but the server adds its own place to each.
            is_last=lambda m: "Nats-Sequence" not in (m.headers or {}),
        )
        return tuple(_stored(m) for m in answers)

    async def send(self, subject: str, payload: bytes) -> None:
        """Publish a hint that nobody needs to acknowledge."""
        await (await self._link_now()).send(subject, payload)

    async def consume(self, binding: Binding, handler: Handler, on_reject: Rejected) -> None:
        """Handle messages for ever, across swaps; ends only by cancellation."""
        pull = PullBinding(binding, handler, on_reject, self.next_link)
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

    def _uses(self, link: NatsLink) -> bool:
        return link is self._current

    async def _hold(self, binding: LinkBinding) -> None:
        async with self._changing:
            self._bindings.add(binding)
            if self._current is not None and not self._current.is_lost:
                await self._attached(binding, self._current)
        try:
            await asyncio.Event().wait()
        finally:
            self._bindings.discard(binding)
            if self._current is not None:
                await binding.detach(self._current)

    async def _attached(self, binding: LinkBinding, link: NatsLink) -> None:
        try:
            await binding.attach(link)
        except BusError:
            log.debug("binding.deferred", reason="link lost")

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
                await self._detach_all(former)
                await former.close()
            return self._current

    async def _open_persistently(self) -> NatsLink:
        reported = False
        for delay in _BACKOFF:
            try:
                link = await self._open()
                await self._attach_new(link)
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

    async def _open(self, *, first: str = "") -> NatsLink:
        """Open a link to any server; to ``first`` if that can be had.

        A swap stays on its server: the others then never hear that interest moved, so nothing is
        sent to where somebody has just left.
        """
        servers = list(self._settings.servers)
        start = servers.index(first) if first in servers else self._entropy(1)[0] % len(servers)
        lost = self._current.url if self._current is not None and not first else ""
        last_error: BusError | AccessDeniedError | None = None
        # Whoever has just fallen silent comes last: it would cost a whole time-out.
        for url in sorted(servers[start:] + servers[:start], key=lambda url: url == lost):
            try:
                return await self.link_type.open(self._target(url))
            except (BusError, AccessDeniedError) as err:
                last_error = err
        raise last_error or BusError("no server configured")

    def _target(self, url: str) -> LinkTarget:
        return LinkTarget(
            url,
            self._credentials(),
            inbox_prefix(self._user.account),
            self._user.client_name,
            self._settings.connect_timeout.total_seconds(),
        )

    async def _attach_new(self, link: NatsLink) -> None:
        """Bring every binding to ``link``; on failure leave nothing of it behind."""
        try:
            for binding in tuple(self._bindings):
                await binding.attach(link)
            await link.flush()
        except BusError:
            await link.close()
            await self._detach_all(link)
            raise

    async def _detach_all(self, link: NatsLink) -> None:
        async with asyncio.TaskGroup() as group:
            for binding in tuple(self._bindings):
                group.create_task(binding.detach(link))

    async def _retire(self, link: NatsLink) -> None:
        await self._detach_all(link)
        await link.settle(within_s=_SETTLE_S)
        await link.close()

    async def _link_now(self) -> NatsLink:
        if self._current is None or self._current.is_lost:
            raise BusError("not connected to NATS")
        return self._current


def _stored(message: Msg) -> StoredMessage:
    headers = message.headers or {}
    subject = headers.get("Nats-Subject", "")
    return StoredMessage(subject, message.data, int(headers.get("Nats-Sequence", 0)))


@asynccontextmanager
async def open_bus(connection: NatsConnection) -> AsyncIterator[NatsConnection]:
    """Close ``connection`` at the end."""
    try:
        yield connection
    finally:
        await connection.close()
