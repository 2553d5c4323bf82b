"""Servers of one cluster, each of which takes what is published, or does not in some way."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, cast

from nats.aio.client import Client
from nats.aio.msg import Msg

from svc_core.adapters.nats_escape import Escape
from svc_core.adapters.nats_publishing import Publisher
from svc_core.config import NatsSettings
from svc_core.domain.stranding import Stranding
from svc_core.errors import AnswerLostError, BusError, NobodyAnswersError, SvcError
from tests.builders import seeded_entropy

LOOK_S: Final = 0.2
TRIP_S: Final = 0.01
FOREVER_S: Final = 3600.0
_FULL: Final = b'{"error":{"code":400,"err_code":10077,"description":"maximum bytes exceeded"}}'
_REFUSED: Final = b'{"error":{"code":503,"err_code":10008,"description":"no leader"}}'


class State(Enum):
    """What a server does with what is published on it."""

    TAKING = "takes it"
    SILENT = "answers nothing"
    NOBODY = "knows no stream"
    REFUSING = "cannot now"
    FULL = "has no room for it"
    FROZEN = "does not even let anybody in"


_ERRORS: Final = {State.REFUSING: _REFUSED, State.FULL: _FULL}
STRANDED: Final = {
    State.SILENT: Stranding.SILENCE,
    State.NOBODY: Stranding.NOBODY,
    State.REFUSING: Stranding.REFUSAL,
}


@dataclass
class Cluster:
    """Three servers and the ids they have stored together."""

    states: dict[str, State] = field(
        default_factory=lambda: dict.fromkeys(("a", "b", "c"), State.TAKING)
    )
    silent_topics: set[str] = field(default_factory=set)
    """On the first server: their leader is behind the cut."""
    stored: list[str] = field(default_factory=list)
    opened: list[tuple[str, float]] = field(default_factory=list)
    closed: int = 0
    opening_s: float = TRIP_S

    def elsewhere(self, url: str) -> Sequence[str]:
        """Return the other servers."""
        return [name for name in self.states if name != url]

    async def one(self, url: str) -> "ServerLink":
        """Open a link, if the server lets anybody in."""
        self.opened.append((url, asyncio.get_running_loop().time()))
        if self.states[url] is State.FROZEN:
            await asyncio.sleep(FOREVER_S)
        await asyncio.sleep(self.opening_s)
        return ServerLink(self, url)


class ServerLink:
    """A connection to one server that answers pings whatever it does with messages."""

    is_lost = False

    def __init__(self, cluster: Cluster, url: str) -> None:
        self._cluster = cluster
        self.url = url

    async def ask(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        headers: dict[str, str] | None = None,
    ) -> Msg:
        """Do with one attempt what the server does."""
        cluster = self._cluster
        state = cluster.states[self.url]
        if self.url == "a" and subject in cluster.silent_topics:
            state = State.SILENT
        if state is State.SILENT:
            await asyncio.sleep(timeout_s)
            raise AnswerLostError("no answer")
        await asyncio.sleep(TRIP_S)
        if state is State.NOBODY:
            raise NobodyAnswersError("nobody")
        if state in _ERRORS:
            return _answer(_ERRORS[state])
        return _answer(self._store(headers or {}))

    async def close(self) -> None:
        """Count it."""
        self._cluster.closed += 1

    def _store(self, headers: dict[str, str]) -> bytes:
        message_id, stored = headers["Nats-Msg-Id"], self._cluster.stored
        is_known = message_id in stored
        if not is_known:
            stored.append(message_id)
        return f'{{"stream":"S","seq":1,"duplicate":{str(is_known).lower()}}}'.encode()


class StrandedClient:
    """What a connection does with its publisher and its escape, without a network."""

    def __init__(self, cluster: Cluster, settings: NatsSettings) -> None:
        self._cluster = cluster
        self.current_link = ServerLink(cluster, "a")
        self.publisher = Publisher(settings, self)
        self.escape: Escape[ServerLink] = Escape(
            settings, self.publisher, cluster, seeded_entropy()
        )
        self.moves: list[tuple[Stranding, str, float]] = []
        """Why, where to and when."""

    async def next_link(self) -> ServerLink:
        """Return the link in use."""
        return self.current_link

    def swap(self) -> None:
        """Use another link to the same server, as after a rotation."""
        self.current_link = ServerLink(self._cluster, self.current_link.url)

    async def run(self) -> None:
        """Look after the link for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            link = self.current_link
            if self.escape.is_due(link) and (refuge := await self.escape.find(link)) is not None:
                self.current_link = refuge.link
                self.moves.append((refuge.reason, refuge.link.url, loop.time()))

    async def outcome(
        self, message_id: str, *, topic: str = "t", key: str = "", within_s: float | None = None
    ) -> bool | SvcError:
        """Publish, and return whether it was new or why it failed."""
        try:
            async with asyncio.timeout(within_s):
                return await self.publisher.publish(
                    topic, b"", message_id=message_id, ordering_key=key
                )
        except SvcError as err:
            return err
        except TimeoutError:
            return BusError("given up by its caller")


def _answer(data: bytes) -> Msg:
    return Msg(cast(Client, None), data=data)
