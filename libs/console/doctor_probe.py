"""One attempt at one listener, over a blocking socket: it shows alerts and sessions as they are.

An attempt says how far it got and never raises for what the other side did.
"""

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from console.doctor_cases import Kind, Manner, Reach
from svc_core.adapters.tls_contexts import client_context, trusting_context
from svc_core.domain.tls import TlsMaterial

_TIMEOUT_S: Final = 5.0
_SILENT_S: Final = 12.0
"""Longer than any listener here waits for a handshake."""
_LARGEST_ANSWER: Final = 1 << 20
_LONGEST_DETAIL: Final = 100
_OK: Final = 200
_PASSAGE: Final = re.compile(rb"^(\S+) +(\d{3})")


@dataclass(frozen=True, slots=True)
class Target:
    """One listener."""

    name: str
    kind: Kind
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of an attempt."""

    reach: Reach
    detail: str = ""
    body: str = field(default="", repr=False)
    """The body of a page that was served."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What to try."""

    trust_pem: str
    shown: TlsMaterial | None = None
    speaks: Manner = Manner.TLS_1_3
    path: str = "/status"
    """What an admin listener is asked for."""


def probe(target: Target, attempt: Attempt) -> Seen:
    """Try once; blocks for seconds at most, so call it off the event loop."""
    try:
        with socket.create_connection((target.host, target.port), _TIMEOUT_S) as plain:
            return _speak(target, attempt, plain)
    except OSError as err:
        return Seen(Reach.UNREACHABLE, _text(err))


def _speak(target: Target, attempt: Attempt, plain: socket.socket) -> Seen:
    match attempt.speaks:
        case Manner.PLAIN:
            return _in_plain_text(target, plain)
        case Manner.SILENT:
            return _in_silence(plain)
        case Manner.RESUMED:
            return _resume(target, attempt, plain)
        case _:
            return _ask(target, attempt, plain, _context(attempt))


def _ask(target: Target, attempt: Attempt, plain: socket.socket, context: ssl.SSLContext) -> Seen:
    try:
        with context.wrap_socket(plain, server_hostname=target.host) as tls:
            return _request(target, attempt, tls)
    except ssl.SSLCertVerificationError as err:
        # It is we who refuse: nothing was learned about what the listener refuses.
        return Seen(Reach.UNREACHABLE, f"the listener's certificate: {err.verify_message}")
    except OSError as err:
        return Seen(Reach.REFUSED, _text(err))


def _request(target: Target, attempt: Attempt, tls: ssl.SSLSocket) -> Seen:
    if target.kind is Kind.ADMIN:
        return _get(target, attempt.path, tls)
    return _greet(tls)


def _get(target: Target, path: str, tls: ssl.SSLSocket) -> Seen:
    tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {target.host}\r\nConnection: close\r\n\r\n".encode())
    answer = b"".join(_received(tls))
    head, _, body = answer.partition(b"\r\n\r\n")
    passage = _PASSAGE.match(head)
    if passage is None:
        return Seen(Reach.REFUSED, "closed without an answer")
    code = int(passage[2])
    reach = Reach.SERVED if code == _OK else Reach.DENIED
    return Seen(reach, str(code), body.decode(errors="replace"))


def _received(tls: ssl.SSLSocket) -> Iterator[bytes]:
    size = 0
    while size < _LARGEST_ANSWER and (chunk := tls.recv(65536)):
        size += len(chunk)
        yield chunk


def _greet(tls: ssl.SSLSocket) -> Seen:
    """Log in to a NATS server and have it answer a ping."""
    with tls.makefile("rb") as lines:
        if not lines.readline(_LARGEST_ANSWER).startswith(b"INFO"):
            return Seen(Reach.REFUSED, "closed without a greeting")
        options = {"verbose": False, "pedantic": False, "lang": "doctor", "version": "1"}
        tls.sendall(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
        for line in iter(lambda: lines.readline(_LARGEST_ANSWER), b""):
            if line.startswith(b"PONG"):
                return Seen(Reach.SERVED, "PONG")
            if line.startswith(b"-ERR"):
                return Seen(Reach.DENIED, line.decode(errors="replace").strip()[:_LONGEST_DETAIL])
    return Seen(Reach.DENIED, "closed after the login")


def _in_plain_text(target: Target, plain: socket.socket) -> Seen:
    request = b"GET /metrics HTTP/1.1\r\nHost: doctor\r\n\r\n"
    if target.kind is Kind.NATS:
        request = b"CONNECT {}\r\nPING\r\n"
    try:
        plain.sendall(request)
        answer = plain.recv(4096)
    except TimeoutError:
        return Seen(Reach.SERVED, "held open")
    except OSError as err:
        return Seen(Reach.REFUSED, _text(err))
    if answer.startswith((b"HTTP", b"INFO", b"PONG")):
        return Seen(Reach.SERVED, "an answer in plain text")
    return Seen(Reach.REFUSED, "closed")


def _in_silence(plain: socket.socket) -> Seen:
    plain.settimeout(_SILENT_S)
    began = time.monotonic()
    try:
        plain.recv(1)
    except TimeoutError:
        return Seen(Reach.SERVED, f"held open for {_SILENT_S:g} s")
    except OSError as err:
        return Seen(Reach.REFUSED, _text(err))
    return Seen(Reach.REFUSED, f"closed after {time.monotonic() - began:.1f} s")


def _resume(target: Target, attempt: Attempt, plain: socket.socket) -> Seen:
    context = _context(attempt)
    try:
        with context.wrap_socket(plain, server_hostname=target.host) as tls:
            first = _request(target, attempt, tls)
            session = tls.session
        if first.reach is not Reach.SERVED:
            return Seen(Reach.UNREACHABLE, f"no first session: {first.detail}")
        if session is None or not session.has_ticket:
            return Seen(Reach.REFUSED, "no session was handed out")
        with (
            socket.create_connection((target.host, target.port), _TIMEOUT_S) as again,
            context.wrap_socket(again, server_hostname=target.host, session=session) as tls,
        ):
            if tls.session_reused:
                return Seen(Reach.SERVED, "the session was resumed")
            return Seen(Reach.REFUSED, "no session was resumed")
    except OSError as err:
        return Seen(Reach.UNREACHABLE, _text(err))


def _context(attempt: Attempt) -> ssl.SSLContext:
    context = (
        client_context(attempt.shown) if attempt.shown else trusting_context(attempt.trust_pem)
    )
    if attempt.speaks is Manner.TLS_1_2:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def _text(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return error.strerror or type(error).__name__
