"""The client library alone, moved in the two ways it has: drain and connect, or reconnect.

Both publish as its documentation says, with a time-out of a second for an acknowledgement, and
repeat under the same message id; both fetch in batches. Neither waits anywhere on purpose.
"""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from benchmarks.swap_place import SwapPlace, Way
from benchmarks.swap_ways import Handled, Moving, end_all, until
from svc_core.adapters.tls_contexts import client_context
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, ServiceName
from svc_core.domain.subjects import AUTH_DURABLE, AUTH_REQUEST, AUTH_STREAM, inbox_prefix

_ACK_S: Final = 1.0
_PAUSE_S: Final = 0.01
_BATCH: Final = 128
FETCH_S: Final = 0.5
"""How long a fetch waits; the library's default of 5 s would be how long a lost one stalls."""
_DRAIN_S: Final = 2
"""How long a drain may take; by default one that misses a message hangs for half a minute."""
_ERRORS: Final = (NatsError, OSError, TimeoutError)


class _Bare(ABC):
    """One connection for either end, kept by the library."""

    def __init__(self, place: SwapPlace, handled: Handled, group: asyncio.TaskGroup) -> None:
        self._place = place
        self._handled = handled
        self._group = group
        self._clients: dict[ServiceName, Client] = {}
        self.fetching: list[asyncio.Task[Any]] = []
        self.repeated = 0

    async def open(self) -> None:
        for account in (GATEKEEPER, AUTHCONTROLLER):
            self._clients[account] = await self.connect(account, self._place.first_move)
        self.fetch_from(self._clients[AUTHCONTROLLER])

    async def close(self) -> None:
        await end_all(self.fetching)
        for client in self._clients.values():
            await client.close()

    async def publish(self, message_id: str, payload: bytes) -> None:
        headers = {"Nats-Msg-Id": message_id}
        while True:
            try:
                streams = self._clients[GATEKEEPER].jetstream()
                await streams.publish(AUTH_REQUEST, payload, timeout=_ACK_S, headers=headers)
            except _ERRORS:
                self.repeated += 1
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    async def move(self, number: int) -> None:
        for account, client in tuple(self._clients.items()):
            await self.move_one(account, client, number)

    @abstractmethod
    async def move_one(self, account: ServiceName, client: Client, number: int) -> None:
        """Move one end."""

    async def connect(self, account: ServiceName, number: int) -> Client:
        async def pass_over(_error: Exception) -> None:
            """Say nothing: what is wrong shows in the figures."""

        return await nats.connect(
            servers=list(self._place.servers),
            tls=await self.context(account, number),
            tls_handshake_first=True,
            inbox_prefix=inbox_prefix(account),
            reconnect_time_wait=_PAUSE_S,
            max_reconnect_attempts=-1,
            drain_timeout=_DRAIN_S,
            error_cb=pass_over,
        )

    async def context(self, account: ServiceName, number: int) -> ssl.SSLContext:
        material = await asyncio.to_thread(self._place.material, number, account)
        return await asyncio.to_thread(client_context, material)

    def fetch_from(self, client: Client) -> None:
        self.fetching.append(self._group.create_task(self._fetch(client)))

    async def _fetch(self, client: Client) -> None:
        taking = await client.jetstream().pull_subscribe_bind(
            durable=AUTH_DURABLE, stream=AUTH_STREAM
        )
        while not client.is_closed:
            try:
                for message in await taking.fetch(_BATCH, timeout=FETCH_S):
                    await self._take(message)
            except _ERRORS:
                await asyncio.sleep(0)

    async def _take(self, message: Msg) -> None:
        self._handled(message.data, message.metadata.sequence.stream)
        await message.ack()


class _Draining(_Bare):
    async def move_one(self, account: ServiceName, client: Client, number: int) -> None:
        await client.drain()
        self._clients[account] = await self.connect(account, number)
        if account == AUTHCONTROLLER:
            self.fetch_from(self._clients[account])


class _Reconnecting(_Bare):
    async def move_one(self, account: ServiceName, client: Client, number: int) -> None:
        client.options["tls"] = await self.context(account, number)
        before = client.stats["reconnects"]
        await client.force_reconnect()
        await until(lambda: client.stats["reconnects"] > before and client.is_connected)


@asynccontextmanager
async def open_bare(place: SwapPlace, handled: Handled) -> AsyncIterator[Moving]:
    """Open either of the library's own ways, as ``place`` says."""
    kind = _Draining if place.way is Way.DRAIN else _Reconnecting
    async with asyncio.TaskGroup() as group:
        bare = kind(place, handled, group)
        await bare.open()
        try:
            yield bare
        finally:
            await bare.close()
