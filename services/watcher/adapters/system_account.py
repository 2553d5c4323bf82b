"""`SystemAccount` over NATS requests of the user ``watcher-sys``."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from services.watcher.domain.monitoring import (
    LiveConnection,
    ServerFacts,
    read_connz,
    read_reload_error,
    read_varz,
)
from svc_core.adapters.nats_connection import NatsConnection
from svc_core.adapters.nats_gathering import ask_all
from svc_core.adapters.nats_link import NatsLink
from svc_core.domain.stranding import Patience, Stranding, Tries
from svc_core.errors import MalformedMessageError

_VARZ: Final = "$SYS.REQ.SERVER.PING.VARZ"
_PATIENCE: Final = Patience(first_s=1.0, longest_s=60.0)
_TIMEOUT_S: Final = 2.0
_PING_WINDOW_S: Final = 0.25
_CONNZ: Final = msgspec.json.encode({"auth": True, "limit": 4096})


class NatsSystemAccount:
    """Requests on ``$SYS.REQ.SERVER.>``."""

    def __init__(self, connection: NatsConnection, servers: int) -> None:
        self._connection = connection
        self._servers = servers
        self._tries = Tries()

    async def fetch_facts(self) -> Mapping[str, ServerFacts]:
        """Return every server that answers within a moment, by name."""
        answers = await self._connection.request_all(
            _VARZ, b"", expected=self._servers, window_s=_PING_WINDOW_S
        )
        if await self._is_heard_better_elsewhere(len(answers)):
            answers = await self._connection.request_all(
                _VARZ, b"", expected=self._servers, window_s=_PING_WINDOW_S
            )
        facts = (read_varz(raw) for raw in answers)
        return {fact.name: fact for fact in facts}

    async def reload(self, server_id: str) -> str:
        """Have one server read its configuration again; return its error, or the empty string."""
        raw = await self._ask(server_id, "RELOAD", b"")
        return read_reload_error(raw)

    async def fetch_connections(self, server_id: str) -> Sequence[LiveConnection]:
        """Return the client connections of one server."""
        return read_connz(await self._ask(server_id, "CONNZ", _CONNZ))

    async def kick(self, server_id: str, cid: int) -> None:
        """Cut one client connection."""
        await self._ask(server_id, "KICK", msgspec.json.encode({"cid": cid}))

    async def _is_heard_better_elsewhere(self, heard: int) -> bool:
        """Move to a server through which more are heard, if most are not; return whether it did.

        One that is cut off from its peers answers for itself, and so makes all others look silent.
        """
        now = asyncio.get_running_loop().time()
        if 2 * heard > self._servers or now < self._tries.next_from:
            return False

        async def is_better(link: NatsLink) -> bool:
            answers = await ask_all(
                link, _VARZ, b"", expected=self._servers, window_s=_PING_WINDOW_S
            )
            return len(answers) > heard

        try:
            return await self._connection.move_if(is_better, Stranding.ALONE)
        finally:
            over = asyncio.get_running_loop().time()
            self._tries = self._tries.and_one(over, _PATIENCE, draw=1.0)

    async def _ask(self, server_id: str, verb: str, body: bytes) -> bytes:
        if not server_id.isalnum():
            raise MalformedMessageError("a server id that is no token")
        subject = f"$SYS.REQ.SERVER.{server_id}.{verb}"
        return await self._connection.request_raw(subject, body, timeout_s=_TIMEOUT_S)
