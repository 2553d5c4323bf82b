"""TLS contexts built from bytes, and one that can be swapped under live servers and clients.

A context is always built new and adopted whole: trusted CAs can be added to a live context but
never removed. TLS 1.3 only, no session tickets, so that withdrawn trust ends at once.
"""

import os
import ssl
from collections.abc import Callable
from typing import Any

from svc_core.domain.tls import TlsMaterial
from svc_core.errors import TlsMaterialError


def client_context(material: TlsMaterial) -> ssl.SSLContext:
    """Build a mutual-TLS client context that trusts ``material.trust_pem`` and nothing else."""
    return _loaded(trusting_context(material.trust_pem), material)


def server_context(material: TlsMaterial) -> ssl.SSLContext:
    """Build a server context; client certificates are optional, a bad one fails the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_mode = ssl.CERT_OPTIONAL
    # A resumed session is not verified again, so none is ever handed out.
    context.num_tickets = 0
    return _loaded(_trusting(context, material.trust_pem), material)


def trusting_context(trust_pem: str) -> ssl.SSLContext:
    """Build a client context without a certificate of its own.

    Raises:
        TlsMaterialError: ``trust_pem`` holds no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The trust file holds intermediates only; without this flag OpenSSL insists on a root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return _trusting(context, trust_pem)


def _trusting(context: ssl.SSLContext, trust_pem: str) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cadata=trust_pem)
    except (ssl.SSLError, ValueError) as err:
        raise TlsMaterialError(f"OpenSSL refused the trusted certificates: {err}") from err
    return context


def _loaded(context: ssl.SSLContext, material: TlsMaterial) -> ssl.SSLContext:
    try:
        # load_cert_chain takes only a path and opens it twice: give it memory, not the disk.
        descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, material.key_pem.reveal() + material.chain_pem.encode())
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
    except (ssl.SSLError, ValueError) as err:
        raise TlsMaterialError(f"OpenSSL refused the material: {err}") from err
    return context


class HotContext(ssl.SSLContext):
    """A permanent facade: every new connection is wrapped by whichever context is current.

    Servers and client libraries keep this one object; `adopt` swaps what it stands for. The facade
    itself owns no certificate, so bypassing the delegation fails closed.
    """

    def __new__(cls, inner: ssl.SSLContext) -> "HotContext":
        """Make the facade with the protocol of ``inner``."""
        return super().__new__(cls, inner.protocol)

    def __init__(self, inner: ssl.SSLContext) -> None:
        self._current = inner

    @property
    def current(self) -> ssl.SSLContext:
        """The context of new connections; those of another one are of a former generation."""
        return self._current

    def adopt(self, inner: ssl.SSLContext) -> None:
        """Use ``inner`` for every connection from now on; existing ones live on."""
        self._current = inner

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Wrap memory BIOs (asyncio, uvloop, aiohttp, nats-py) with the current context."""
        return self._current.wrap_bio(*args, **kwargs)

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """Wrap a socket (requests, hvac) with the current context."""
        return self._current.wrap_socket(*args, **kwargs)


ContextBuilder = Callable[[TlsMaterial], ssl.SSLContext]
