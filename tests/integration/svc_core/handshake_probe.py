"""Handshakes by the product's own contexts, in a process of whichever interpreter is asked.

Needs nothing but the standard library and `svc_core.adapters.tls_contexts`, so it runs on Pythons
that have no packages of ours. Attempts come as JSON on standard input, results go to standard
output: per attempt the empty string, or why it failed.
"""

import json
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from svc_core.adapters.tls_contexts import client_context, server_context
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.tls import TlsMaterial

_TIMEOUT_S: Final = 10.0
_HOST: Final = "localhost"
_SOME_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No context looks at the times that material says of itself."""
_CONNECT: Final = b'CONNECT {"verbose":false,"lang":"python","version":"0"}\r\nPING\r\n'


def main() -> int:
    """Make every attempt that is read, and print what came of each."""
    attempts = json.load(sys.stdin)
    json.dump([_outcome(attempt) for attempt in attempts], sys.stdout)
    return 0


def _outcome(attempt: Mapping[str, Any]) -> str:
    try:
        _KINDS[attempt["kind"]](attempt)
    except (ssl.SSLError, OSError) as err:
        return str(err) or type(err).__name__
    return ""


def _with_server(attempt: Mapping[str, Any]) -> None:
    """Connect to a NATS server as the client, and have it answer a ping."""
    context = _flagged(client_context(_material(attempt["client"])), attempt)
    address = (attempt["address"], attempt["port"])
    with (
        socket.create_connection(address, timeout=_TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=_HOST) as tls,
        tls.makefile("rb") as lines,
    ):
        _expect(lines.readline(), b"INFO")
        tls.sendall(_CONNECT)
        _expect(lines.readline(), b"PONG")


def _expect(line: bytes, beginning: bytes) -> None:
    if not line.startswith(beginning):
        raise ConnectionAbortedError(line.decode(errors="replace").strip() or "cut off")


def _in_memory(attempt: Mapping[str, Any]) -> None:
    """Shake hands with a server that insists on a certificate, without a network."""
    client = _flagged(_client(attempt), attempt)
    server = _flagged(server_context(_material(attempt["server"])), attempt)
    server.verify_mode = ssl.CERT_REQUIRED
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=_HOST)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for end in (asking, answering):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    answering.do_handshake()


def _client(attempt: Mapping[str, Any]) -> ssl.SSLContext:
    """Return a client of ours, or one as anybody makes it who was given a root and nothing else."""
    ours = client_context(_material(attempt["client"]))
    if not attempt.get("classical"):
        return ours
    context = ssl.create_default_context(cadata=attempt["client"]["root"])
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(attempt["client"]["key"] + attempt["client"]["chain"])
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _flagged(context: ssl.SSLContext, attempt: Mapping[str, Any]) -> ssl.SSLContext:
    if attempt.get("strict"):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def _material(document: Mapping[str, str]) -> TlsMaterial:
    return TlsMaterial(
        chain_pem=document["chain"],
        key_pem=SecretBytes(document["key"].encode()),
        trust_pem=document["trust"],
        issuer="",
        not_before=_SOME_TIME,
        not_after=_SOME_TIME,
        issued_at=_SOME_TIME,
        root_pem=document["root"],
    )


_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any]], None]]] = {
    "server": _with_server,
    "memory": _in_memory,
}

if __name__ == "__main__":
    sys.exit(main())
