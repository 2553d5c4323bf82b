"""Clients that hold files and nothing else: plain nats-py and plain TLS, none of our own code."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from devstack.layout import Layout

ACCEPTED: Final = ""
UNKNOWN_CA: Final = "TLSV1_ALERT_UNKNOWN_CA"

_CONNECT_S: Final = 3
_ANSWER_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its chain, and its key, as files."""

    certificate: Path
    key: Path


def tls_context(trust: Path, identity: Identity | None) -> ssl.SSLContext:
    """Return a context that trusts the intermediates in ``trust`` and shows ``identity``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cafile=trust)
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


async def refusal(url: str, context: ssl.SSLContext) -> str:
    """Shake hands with a NATS server; return OpenSSL's name of its refusal, empty if it greets.

    In TLS 1.3 a client is done before the server has looked at its certificate, so only what comes
    after the handshake tells.
    """
    host, _, port = url.removeprefix("tls://").partition(":")
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
            try:
                greeting = await reader.read(4)
            finally:
                writer.transport.abort()
    except ssl.SSLError as err:
        return err.reason or str(err)
    return "" if greeting == b"INFO" else f"closed after {greeting!r}"


class Outsider:
    """One connected client, and what the server forbade it."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.forbidden: list[str] = []
        self.client: Client

    async def note(self, error: Exception) -> None:
        """Remember what the server said."""
        self.forbidden.append(str(error).lower())

    async def may_publish(
        self, subject: str, payload: bytes = b"forged", *, reply: str = ""
    ) -> bool:
        """Publish, and say whether the server let it pass."""
        await self.client.publish(subject, payload, reply=reply)
        return not await self._is_forbidden(f'publish to "{subject.lower()}"')

    async def may_subscribe(self, subject: str, *, queue: str = "") -> bool:
        """Subscribe, and say whether the server let it pass."""
        await self.client.subscribe(subject, queue=queue)
        return not await self._is_forbidden(f'subscription to "{subject.lower()}"')

    async def read_ca_message(self) -> Msg:
        """Ask JetStream for the last CA message, which every service may."""
        return await self.client.request(
            "$JS.API.DIRECT.GET.METADATA_CA_CLIENT.metadata.client.ca-cert", b"", timeout=_ANSWER_S
        )

    async def _is_forbidden(self, act: str) -> bool:
        # A server says what it forbids before it answers the ping of a flush. The client may write
        # that ping ahead of what is still in its buffer, so only the second one comes after it.
        for _ in range(2):
            await self.client.flush(timeout=int(_ANSWER_S))
        return any(act in text for text in self.forbidden)


@asynccontextmanager
async def connected(url: str, context: ssl.SSLContext, account: str) -> AsyncIterator[Outsider]:
    """Connect as ``account`` to one server, once."""
    outsider = Outsider(account)
    outsider.client = await nats.connect(
        url,
        tls=context,
        tls_handshake_first=True,
        inbox_prefix=f"_INBOX_{account}",
        error_cb=outsider.note,
        allow_reconnect=False,
        connect_timeout=_CONNECT_S,
    )
    try:
        yield outsider
    finally:
        await outsider.client.close()


def of_service(layout: Layout, service: str) -> Identity:
    """Return the certificate a service keeps on disk; whole even while it changes."""
    directory = (layout.service(service) / "tls").resolve()
    return Identity(directory / "cert.pem", directory / "key.pem")


def urls(layout: Layout) -> list[str]:
    """Return where the NATS servers are, as the stack tells everybody."""
    document = json.loads(layout.endpoints_file.read_text())
    return [node["url"] for node in document["nats"]]


@asynccontextmanager
async def as_service(layout: Layout, service: str) -> AsyncIterator[Outsider]:
    """Connect with the certificate that a service keeps on disk."""
    context = tls_context(layout.trust_file, of_service(layout, service))
    async with connected(urls(layout)[0], context, service) as outsider:
        yield outsider
