"""`SystemAccount` over NATS requests of the user ``watcher-sys``."""

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
from svc_core.errors import MalformedMessageError

_TIMEOUT_S: Final = 2.0
_PING_WINDOW_S: Final = 0.25
_CONNZ: Final = msgspec.json.encode({"auth": True, "limit": 4096})


class NatsSystemAccount:
    """Requests on ``$SYS.REQ.SERVER.>``."""

    def __init__(self, connection: NatsConnection, servers: int) -> None:
        self._connection = connection
        self._servers = servers

    async def fetch_facts(self) -> Mapping[str, ServerFacts]:
        """Return every server that answers within a moment, by name."""
        answers = await self._connection.request_all(
            "$SYS.REQ.SERVER.PING.VARZ", b"", expected=self._servers, window_s=_PING_WINDOW_S
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

    async def _ask(self, server_id: str, verb: str, body: bytes) -> bytes:
        if not server_id.isalnum():
            raise MalformedMessageError("a server id that is no token")
        subject = f"$SYS.REQ.SERVER.{server_id}.{verb}"
        return await self._connection.request_raw(subject, body, timeout_s=_TIMEOUT_S)
