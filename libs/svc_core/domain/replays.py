"""Sending a dead letter's message again exactly once: what to do next, from what was noted.

A replay is noted before it is begun and after it was acknowledged. The id it is published under
follows from the letter and the attempt, so that a replay which was interrupted in between can be
repeated for as long as the stream refuses the repeat of an id; after that nobody can tell whether
the first one was stored, and only a person can decide.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from svc_core.domain.subjects import DUPLICATE_WINDOW, DURABLES
from svc_core.errors import RejectedError

_MARGIN: Final = timedelta(seconds=20)
"""How much earlier than the stream this side stops to rely on its memory of ids."""
_DATA_TOPICS: Final = frozenset((d.stream, str(d.filter_subject)) for d in DURABLES)


class AlreadyReplayedError(RejectedError):
    """The letter's message has been sent again before."""

    code = "replay.already_done"
    advice = "add --again to send it once more"


class ReplayUnknownError(RejectedError):
    """A replay was interrupted too long ago to say whether its message was stored."""

    code = "replay.outcome_unknown"
    advice = "look whether its effect is there; add --again to send it once more"


class NotReplayableError(RejectedError):
    """The letter does not hold a message that can be sent again."""

    code = "replay.not_possible"
    advice = "its producer has to send it anew"


@dataclass(frozen=True, slots=True)
class ReplayMark:
    """A note about one attempt to replay one letter."""

    letter: int
    """The letter's id: its sequence in the stream of dead letters."""
    attempt: int
    """1 for the first."""
    is_done: bool
    """Whether the broker has acknowledged it; else it was about to begin."""
    at: datetime
    """Aware, UTC."""


@dataclass(frozen=True, slots=True)
class Replay:
    """One publish of one letter's message."""

    letter: int
    attempt: int

    @property
    def message_id(self) -> str:
        """The ``Nats-Msg-Id`` it is published under, whoever does it and however often."""
        return f"replay:{self.letter}:{self.attempt}"


def plan_replay(
    letter: int, marks: Iterable[ReplayMark], *, now: datetime, again: bool = False
) -> Replay:
    """Return the publish that replays ``letter``.

    Args:
        letter: the letter's id.
        marks: every note there is; those about other letters do not matter.
        now: aware, UTC.
        again: whether one more copy is wanted if there was, or may have been, one already.

    Raises:
        AlreadyReplayedError: it is there, and ``again`` was not asked for.
        ReplayUnknownError: it may be there, and ``again`` was not asked for.
    """
    own = [mark for mark in marks if mark.letter == letter]
    if not own:
        return Replay(letter, 1)
    attempt = max(mark.attempt for mark in own)
    last = [mark for mark in own if mark.attempt == attempt]
    if not any(mark.is_done for mark in last):
        begun = min(mark.at for mark in last)
        if now - begun < DUPLICATE_WINDOW - _MARGIN:
            return Replay(letter, attempt)
        if not again:
            raise ReplayUnknownError(f"a replay of letter {letter} was interrupted")
    elif not again:
        raise AlreadyReplayedError(f"letter {letter} was replayed already")
    return Replay(letter, attempt + 1)


def check_replayable(*, stream: str, subject: str, is_complete: bool) -> None:
    """Refuse what must not be sent again.

    A letter's text is its service's word: only what really is a data topic is published on.

    Raises:
        NotReplayableError: not a data topic of that stream, or not every byte was kept.
    """
    if (stream, subject) not in _DATA_TOPICS:
        raise NotReplayableError(f"no data topic {subject!r} in a stream {stream!r}")
    if not is_complete:
        raise NotReplayableError("the message was too large to be kept whole")
