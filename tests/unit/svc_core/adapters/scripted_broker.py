"""A stream and the links to it, where each attempt to publish meets the fate it is given."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, Final, cast

from nats.aio.client import Client
from nats.aio.msg import Msg

from svc_core.config import NatsSettings
from svc_core.errors import AccessDeniedError, AnswerLostError, BusError, NobodyAnswersError

RESTORED_S: Final = 0.2
"""How long it takes to have another link."""
TRIP_S: Final = 0.01
LATE_S: Final = 7.0
"""When a copy lands that was stuck on its way: the attempt is given up long before."""


class Fate(Enum):
    """What becomes of one attempt."""

    STORED = "stored"
    GONE = "the link was gone before"
    CUT = "the link is cut before the broker has it"
    CUT_AFTER = "the link is cut before the acknowledgement is back"
    SILENT = "never arrives"
    SILENT_AFTER = "arrives, but the acknowledgement does not"
    LATE = "arrives seconds later, when the attempt is over"
    REFUSED = "JetStream cannot now"
    NOBODY = "no stream is there"
    FULL = "the stream is full"
    FORBIDDEN = "this user may not"


_ERRORS: Final = {
    Fate.REFUSED: b'{"error":{"code":503,"err_code":10008,"description":"no leader"}}',
    Fate.FULL: b'{"error":{"code":400,"err_code":10077,"description":"maximum bytes exceeded"}}',
}


@dataclass
class ScriptedBroker:
    """One stream; it knows the ids it has stored."""

    fates: list[Fate] = field(default_factory=list)
    """Of the next attempts; `Fate.STORED` after those."""
    stored: list[str] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    is_away: bool = False
    """Whether no link can be had, ever."""
    _link: "ScriptedLink | None" = None

    @classmethod
    def of(cls, fates: Iterable[Fate]) -> "ScriptedBroker":
        """Return one whose next attempts meet ``fates``."""
        return cls(list(fates))

    @property
    def current_link(self) -> "ScriptedLink | None":
        """The link to use now."""
        return None if self._link is None or self._link.is_lost else self._link

    async def next_link(self) -> "ScriptedLink":
        """Return the first link at once, another after a while."""
        if self.is_away:
            await asyncio.Event().wait()
        if self._link is not None and self._link.is_lost:
            await asyncio.sleep(RESTORED_S)
        if self._link is None or self._link.is_lost:
            self._link = ScriptedLink(self)
        return self._link

    def swap(self) -> None:
        """Give out another link from now on; answers still come over the former one."""
        self._link = ScriptedLink(self)

    def receive(self, message_id: str) -> bool:
        """Store ``message_id`` unless it is known; say whether it was."""
        if message_id in self.stored:
            return True
        self.stored.append(message_id)
        return False


@dataclass
class ScriptedLink:
    """One connection to the stream."""

    broker: ScriptedBroker
    is_lost: bool = False

    async def ask(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        headers: dict[str, str] | None = None,
    ) -> Msg:
        """Do with one attempt what its fate is."""
        broker, message_id = self.broker, (headers or {})["Nats-Msg-Id"]
        broker.attempts.append(message_id)
        broker.at_once += 1
        broker.most_at_once = max(broker.most_at_once, broker.at_once)
        try:
            return await self._meet(message_id, timeout_s)
        finally:
            broker.at_once -= 1

    async def _meet(self, message_id: str, timeout_s: float) -> Msg:
        fate = self.broker.fates.pop(0) if self.broker.fates else Fate.STORED
        if self.is_lost or fate is Fate.GONE:
            self.is_lost = True
            raise BusError("the connection is gone")
        if fate is Fate.FORBIDDEN:
            raise AccessDeniedError("forbidden")
        if fate is Fate.NOBODY:
            raise NobodyAnswersError("nobody")
        if fate in {Fate.CUT_AFTER, Fate.SILENT_AFTER}:
            self.broker.receive(message_id)
        if fate is Fate.LATE:
            asyncio.get_running_loop().call_later(LATE_S, self.broker.receive, message_id)
        if fate in {Fate.CUT, Fate.CUT_AFTER}:
            self.is_lost = True
            raise AnswerLostError("the connection was lost before the answer")
        if fate in {Fate.SILENT, Fate.SILENT_AFTER, Fate.LATE}:
            await asyncio.sleep(timeout_s)
            raise AnswerLostError("no answer")
        await asyncio.sleep(TRIP_S)
        return _answer(_ERRORS[fate] if fate in _ERRORS else self._store(message_id))

    def _store(self, message_id: str) -> bytes:
        duplicate = str(self.broker.receive(message_id)).lower()
        return f'{{"stream":"S","seq":1,"duplicate":{duplicate}}}'.encode()


def _answer(data: bytes) -> Msg:
    return Msg(cast(Client, None), data=data)


def make_settings(**changes: Any) -> NatsSettings:
    """Return settings with a deadline that ends after some seconds of virtual time."""
    settings = NatsSettings(servers=("tls://127.0.0.1:1",), ack_timeout=timedelta(seconds=1))
    return settings.model_copy(update=changes)
