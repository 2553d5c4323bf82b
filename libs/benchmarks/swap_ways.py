"""Our way of moving a connection, as a service does it, and what the others have in common."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from benchmarks.swap_place import SwapPlace
from svc_core.adapters.nats_connection import NatsConnection, NatsUser
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.adapters.tls_contexts import client_context
from svc_core.adapters.tls_credentials import link_credentials
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, Deployment, ServiceName
from svc_core.domain.subjects import AUTH_DURABLE, AUTH_REQUEST, AUTH_STREAM
from svc_core.domain.tls import LeafNames
from svc_core.errors import BusError
from svc_core.ports.bus import Binding, Delivery

Handled = Callable[[bytes, int], None]
"""Called with payload and stream sequence of every message that a consumer was given."""

_CONNECT_S: Final = 10.0


class Moving(Protocol):
    """A publisher and a consumer, each with a connection of its own."""

    @property
    def repeated(self) -> int:
        """Attempts to publish beyond a message's first."""
        ...

    async def publish(self, message_id: str, payload: bytes) -> None:
        """Publish one message and return once it is acknowledged."""
        ...

    async def move(self, number: int) -> None:
        """Move both connections to the certificates of move ``number``."""
        ...


OpenWay = Callable[[SwapPlace, Handled], AbstractAsyncContextManager[Moving]]


@dataclass(slots=True)
class _End:
    """One user's certificate and connection."""

    account: ServiceName
    place: SwapPlace
    identity: TlsIdentity
    connection: NatsConnection

    @classmethod
    def of(cls, account: ServiceName, place: SwapPlace) -> "_End":
        names = LeafNames((Deployment().spiffe_id(account),))
        identity = TlsIdentity(SystemClock(), client_context, server=False, names=names)
        connection = NatsConnection(
            place.settings,
            NatsUser(account, f"bench-{account}"),
            lambda: link_credentials(identity),
            system_entropy,
        )
        return cls(account, place, identity, connection)

    async def take(self, number: int) -> None:
        material = await asyncio.to_thread(self.place.material, number, self.account)
        await self.identity.adopt(material)


@dataclass(slots=True)
class _Swapping:
    asking: _End
    taking: _End

    @property
    def repeated(self) -> int:
        return self.asking.connection.publishing.repeated

    async def publish(self, message_id: str, payload: bytes) -> None:
        await self.asking.connection.publish(AUTH_REQUEST, payload, message_id=message_id)

    async def move(self, number: int) -> None:
        for end in (self.asking, self.taking):
            await end.take(number)
            await end.connection.swap()


@asynccontextmanager
async def open_swapping(place: SwapPlace, handled: Handled) -> AsyncIterator[Moving]:
    """Open what a service has: an identity and a connection that swaps, for either end."""

    async def handle(delivery: Delivery) -> None:
        handled(delivery.payload, delivery.sequence)

    async def refuse(_delivery: Delivery, error: Exception) -> None:
        raise BusError("nothing is refused here") from error

    ends = [_End.of(account, place) for account in (GATEKEEPER, AUTHCONTROLLER)]
    for end in ends:
        await end.take(place.first_move)
    async with asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[Any]] = [group.create_task(end.connection.run()) for end in ends]
        binding = Binding(AUTH_STREAM, AUTH_DURABLE)
        tasks.append(group.create_task(ends[1].connection.consume(binding, handle, refuse)))
        await until(lambda: all(end.connection.is_connected for end in ends))
        try:
            yield _Swapping(*ends)
        finally:
            await end_all(tasks)
            for end in ends:
                await end.connection.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds.

    Raises:
        BusError: it did not within ten seconds.
    """
    deadline = time.monotonic() + _CONNECT_S
    while not condition():
        if time.monotonic() > deadline:
            raise BusError("the servers do not take the connections of a benchmark")
        await asyncio.sleep(0.01)


async def end_all(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel ``tasks`` and wait for their end."""
    while left := [task for task in tasks if not task.done()]:
        # A ping that is answered at this very moment swallows a cancel, so say it again.
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.5)
