"""The stream of dead letters as the operator has it: read, replay, note, remove single ones.

Nothing is consumed: letters are read directly, so looking at them changes nothing. A direct read is
answered by any replica, which may be a moment behind; that is why a replay does not rest on what
was read, but on an id that the stream refuses the second time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from svc_core.adapters.nats_connection import NatsConnection
from svc_core.domain.identity import OPERATOR, ServiceName
from svc_core.domain.replays import Replay, ReplayMark
from svc_core.domain.subjects import DEAD_LETTER_STREAM, REMOVE_DEAD_LETTER, dead_letters
from svc_core.errors import BusError, MalformedMessageError, RequestRefusedError
from svc_core.ports.bus import StoredMessage
from svc_core.wire import dead_letter, replay_mark
from svc_core.wire.dead_letter import DeadLetter

_BATCH: Final = 256
_TIMEOUT_S: Final = 3.0
_NO_SUCH_MESSAGE: Final = 10043
_MARKS: Final = dead_letters(ServiceName(OPERATOR))


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """One dead letter in its place."""

    id: int
    """Its sequence in the stream, which no other letter ever has."""
    service: str
    """Who refused; the servers let each service write its own letters only."""
    raw: bytes = field(repr=False)
    letter: DeadLetter | None
    """None: what is stored is no dead letter."""


@dataclass(frozen=True, slots=True)
class BoxContents:
    """Everything in the stream."""

    letters: tuple[StoredLetter, ...]
    """Oldest first."""
    marks: tuple[tuple[int, ReplayMark], ...]
    """What was noted about replays, with the place of each note."""


class DeadLetterBox:
    """May raise `BusError` (retry) and `AccessDeniedError`."""

    def __init__(self, bus: NatsConnection) -> None:
        self._bus = bus

    async def fetch_all(self) -> BoxContents:
        """Return every letter and every note."""
        messages = await self._fetch("dlq.*")
        return BoxContents(
            tuple(_letter(m) for m in messages if m.subject != _MARKS),
            tuple(_marks(m for m in messages if m.subject == _MARKS)),
        )

    async def publish(self, letter: DeadLetter, replay: Replay) -> bool:
        """Store the refused bytes on their subject again; return False when they were there."""
        return await self._bus.publish(letter.subject, letter.payload, message_id=replay.message_id)

    async def note(self, mark: ReplayMark) -> None:
        """Keep ``mark`` beside the letters; noted once however often it is said."""
        state = "done" if mark.is_done else "begun"
        await self._bus.publish(
            _MARKS,
            replay_mark.encode(mark),
            message_id=f"replay-mark:{mark.letter}:{mark.attempt}:{state}",
        )

    async def remove(self, ids: Iterable[int]) -> int:
        """Remove messages of the stream by their ids for good; return how many there were.

        Raises:
            RequestRefusedError: the stream does not let go of single messages.
        """
        removed = 0
        for sequence in ids:
            removed += await self._remove_one(sequence)
        return removed

    async def _fetch(self, pattern: str) -> list[StoredMessage]:
        found: list[StoredMessage] = []
        first = 1
        while batch := await self._bus.fetch_from(
            DEAD_LETTER_STREAM, pattern, first=first, most=_BATCH
        ):
            found += batch
            if batch[-1].sequence < first:
                raise BusError("the stream of dead letters is not read in order")
            first = batch[-1].sequence + 1
        return found

    async def _remove_one(self, sequence: int) -> bool:
        query = msgspec.json.encode({"seq": sequence})
        raw = await self._bus.request_raw(REMOVE_DEAD_LETTER, query, timeout_s=_TIMEOUT_S)
        try:
            answer: dict[str, Any] = msgspec.json.decode(raw, type=dict)
        except msgspec.DecodeError as err:
            raise BusError("JetStream's answer cannot be read") from err
        error = answer.get("error") or {}
        if error.get("err_code") == _NO_SUCH_MESSAGE:
            return False
        if error:
            description = error.get("description", "no reason")
            raise RequestRefusedError(f"letter {sequence} cannot be removed: {description}")
        return True


def _letter(message: StoredMessage) -> StoredLetter:
    service = message.subject.partition(".")[2]
    try:
        letter = dead_letter.decode(message.payload)
    except MalformedMessageError:
        letter = None
    return StoredLetter(message.sequence, service, message.payload, letter)


def _marks(messages: Iterable[StoredMessage]) -> Iterable[tuple[int, ReplayMark]]:
    for message in messages:
        yield message.sequence, replay_mark.decode(message.payload)
