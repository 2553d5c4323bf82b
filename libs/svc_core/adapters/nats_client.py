"""What is wanted of the client library and it has no words for.

Its inner names are used in this module only; `test_nats_link` holds what must stay true of them
when the library is updated.
"""

import asyncio
import ssl
from typing import Final

import structlog
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from svc_core.adapters.nats_transport import JoiningTransport

log = structlog.get_logger()

NETWORK_ERRORS: Final = (
    nats_errors.Error,
    OSError,
    ssl.SSLError,
    TimeoutError,
    asyncio.IncompleteReadError,
)
"""What any call of the client may raise when the connection fails."""
_CLOSE_S: Final = 1.0


def new_client() -> Client:
    """Return an unconnected client that writes what has gathered as one piece."""
    client = Client()
    client._transport = JoiningTransport()  # noqa: SLF001
    return client


def next_unique_name(client: Client) -> str:
    """Return 22 characters that no other call returns, by the client's own generator."""
    return client._nuid.next().decode()  # noqa: SLF001


async def flush_all(client: Client) -> None:
    """Wait until the server has seen everything sent so far; raise one of `NETWORK_ERRORS`.

    `Client.flush` writes its ping at once, and what was sent before only afterwards.
    """
    await client._flush_pending(force_flush=True)  # noqa: SLF001
    await client.flush()


async def leave(client: Client, subscription: Subscription, *, within_s: float) -> None:
    """Have the server end ``subscription`` in time; then hand over all that it has delivered.

    Raises one of `NETWORK_ERRORS`.
    """
    async with asyncio.timeout(within_s):
        await client._send_unsubscribe(subscription._id)  # noqa: SLF001
        # From here on nothing is delivered to it that is not here already.
        await flush_all(client)
    await subscription.drain()


async def discard(client: Client) -> None:
    """Close what was never used; a peer that did not even shake hands is not waited for."""
    if client.is_connected:
        await close_quietly(client)
    else:
        abort(client)


async def close_quietly(client: Client) -> None:
    """Disconnect, within a second and whatever fails."""
    try:
        # A peer that answers nothing would hold the TLS shutdown for half a minute.
        async with asyncio.timeout(_CLOSE_S):
            await client.close()
    except NETWORK_ERRORS:
        log.debug("link.close_cut")
    finally:
        abort(client)
        # The client lies in a ring of references, which may be found only hundreds of swaps later;
        # what holds the memory, the buffers of TLS, should not wait for that.
        client._transport = None  # noqa: SLF001


def abort(client: Client) -> None:
    """Free the socket now: a close that was cut short or cancelled leaves it open for ever."""
    writer = getattr(client._transport, "_io_writer", None)  # noqa: SLF001
    if writer is not None:
        writer.transport.abort()
