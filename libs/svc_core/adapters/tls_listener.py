"""A TLS listener whose refusals can be seen: handshakes are done here, one by one.

asyncio's own servers neither report why a handshake failed nor bound how many are under way. Here
each accepted socket is wrapped by whichever context is current; failures are counted by reason,
the number of connections is bounded, and those of a former context are cut when they are too old.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

import structlog

from svc_core.adapters.tls_contexts import HotContext
from svc_core.domain.handshakes import Refusal

log = structlog.get_logger()

_SWEEP_S: Final = 1.0
_BACKLOG: Final = 128
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROOM_PAUSE_S: Final = 1.0

# What OpenSSL's verifier says, by the numbers of x509_vfy.h.
_BY_VERIFY_CODE: Final = {
    2: Refusal.UNKNOWN_CA,
    18: Refusal.UNKNOWN_CA,
    19: Refusal.UNKNOWN_CA,
    20: Refusal.UNKNOWN_CA,
    21: Refusal.UNKNOWN_CA,
    7: Refusal.UNKNOWN_CA,
    9: Refusal.NOT_YET_VALID,
    10: Refusal.EXPIRED,
    26: Refusal.WRONG_PURPOSE,
}
_BY_REASON: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Refusal.NO_CERTIFICATE,
    "UNSUPPORTED_PROTOCOL": Refusal.PROTOCOL_VERSION,
    "VERSION_TOO_LOW": Refusal.PROTOCOL_VERSION,
    "HTTP_REQUEST": Refusal.PLAIN_TEXT,
    "HTTPS_PROXY_REQUEST": Refusal.PLAIN_TEXT,
    "WRONG_VERSION_NUMBER": Refusal.PLAIN_TEXT,
    "UNKNOWN_PROTOCOL": Refusal.PLAIN_TEXT,
}


class ListenerCounts(Protocol):
    """What the listener reports to."""

    def completed(self) -> None:
        """Count a handshake that was completed."""
        ...

    def refused(self, reason: Refusal) -> None:
        """Count a handshake that failed."""
        ...

    def turned_away(self) -> None:
        """Count a connection above the limit."""
        ...

    def cut(self) -> None:
        """Count a connection that was cut because its generation is over."""
        ...


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """How much a stranger may take up."""

    connections: int
    """Open at a time, handshakes under way included."""
    handshake: timedelta
    """How long a handshake may take."""
    former_generation: timedelta
    """How long a connection lives on after its context was replaced."""


@dataclass(slots=True)
class _Held:
    transport: asyncio.Transport
    context: ssl.SSLContext | None
    former_since: float | None = None


def refusal_of(error: OSError) -> Refusal | None:
    """Say why a handshake failed; None when the client went away, which is nobody's fault."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _BY_VERIFY_CODE.get(error.verify_code, Refusal.OTHER)
    if isinstance(error, ssl.SSLError):
        return _BY_REASON.get(error.reason or "", Refusal.OTHER)
    if isinstance(error, ConnectionAbortedError | TimeoutError):
        return Refusal.TIMEOUT
    return None


def open_listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host``, an address or a name.

    Raises:
        OSError: the address is unknown or the port is taken.
    """
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return listening


class TlsListener:
    """Accepts connections for ever and hands each to a protocol once its handshake is done."""

    def __init__(
        self,
        limits: ListenerLimits,
        context: HotContext,
        factory: Callable[[], asyncio.Protocol],
        counts: ListenerCounts,
    ) -> None:
        self._limits = limits
        self._context = context
        self._factory = factory
        self._counts = counts
        self._under_way = 0
        self._held: list[_Held] = []
        self._has_room = True

    @property
    def connections(self) -> int:
        """How many are open, handshakes under way included."""
        self._held = [held for held in self._held if not held.transport.is_closing()]
        return self._under_way + len(self._held)

    def is_former(self, transport: asyncio.BaseTransport | None) -> bool:
        """Say whether a connection was made with a context that has been replaced."""
        return transport is not None and _context_of(transport) is not self._context.current

    async def serve(self, listening: socket.socket) -> None:
        """Accept on ``listening`` until cancelled; closes it."""
        with listening:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sweep())
                while True:
                    plain = await self._accept(listening)
                    if plain is None:
                        continue
                    if self.connections >= self._limits.connections:
                        self._counts.turned_away()
                        plain.close()
                        continue
                    self._under_way += 1
                    group.create_task(self._shake_hands(plain))

    async def _accept(self, listening: socket.socket) -> socket.socket | None:
        try:
            plain, _ = await asyncio.get_running_loop().sock_accept(listening)
        except ConnectionError:
            return None
        except OSError as err:
            if err.errno not in _NO_ROOM:
                raise
            if self._has_room:
                log.warning("admin.no_room", reason=err.strerror)
            self._has_room = False
            # The connection stays in the queue: without a pause this would spin.
            await asyncio.sleep(_NO_ROOM_PAUSE_S)
            return None
        self._has_room = True
        return plain

    async def _shake_hands(self, plain: socket.socket) -> None:
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                self._factory,
                plain,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake.total_seconds(),
            )
        except OSError as err:
            if (reason := refusal_of(err)) is not None:
                self._counts.refused(reason)
        else:
            self._counts.completed()
            self._held.append(_Held(transport, _context_of(transport)))
        finally:
            self._under_way -= 1

    async def _sweep(self) -> None:
        """Cut connections that outlived their context; look at every one once a second."""
        clock = asyncio.get_running_loop().time
        limit_s = self._limits.former_generation.total_seconds()
        while True:
            for held in self._held:
                if held.context is self._context.current:
                    continue
                if held.former_since is None:
                    held.former_since = clock()
                elif clock() - held.former_since >= limit_s and not held.transport.is_closing():
                    self._counts.cut()
                    held.transport.abort()
            await asyncio.sleep(_SWEEP_S)


def _context_of(transport: asyncio.BaseTransport) -> ssl.SSLContext | None:
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    return tls.context if tls is not None else None
