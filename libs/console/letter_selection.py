"""Which dead letters are meant."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from svc_core.adapters.dead_letter_box import StoredLetter
from svc_core.domain.durations import parse_duration
from svc_core.errors import ConfigError

UNREADABLE: Final = "unreadable"
"""The code of what lies in the stream and is no dead letter."""


class SelectionError(ConfigError):
    """The options do not say which letters are meant."""

    code = "console.selection"
    advice = "see `securetransport dead-letters --help`"


@dataclass(frozen=True, slots=True)
class Selection:
    """Conditions that all hold for what is meant; without any, everything is."""

    ids: tuple[int, ...] = ()
    service: str = ""
    code: str = ""
    since: datetime | None = None
    """Refused then or later."""
    before: datetime | None = None
    """Refused earlier than that."""

    @property
    def is_empty(self) -> bool:
        """Whether there is no condition."""
        return self == Selection()

    def of(self, letters: Iterable[StoredLetter]) -> list[StoredLetter]:
        """Return the letters that are meant, in their order."""
        return [letter for letter in letters if self._means(letter)]

    def _means(self, stored: StoredLetter) -> bool:
        return (
            (not self.ids or stored.id in self.ids)
            and self.service in {"", stored.service}
            and self.code in {"", code_of(stored)}
            and self._is_of_the_time(stored)
        )

    def _is_of_the_time(self, stored: StoredLetter) -> bool:
        if self.since is None and self.before is None:
            return True
        at = stored.letter.refused_at if stored.letter else None
        if at is None:
            return False
        return (self.since is None or at >= self.since) and (
            self.before is None or at < self.before
        )


def code_of(stored: StoredLetter) -> str:
    """Return why a letter was refused."""
    return stored.letter.code if stored.letter else UNREADABLE


def read_moment(text: str, *, now: datetime) -> datetime | None:
    """Return the moment that ``text`` means: a time with its zone, or so long ago; None if empty.

    Raises:
        SelectionError: it is neither.
    """
    if not text:
        return None
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as err:
        raise SelectionError(f"{text!r} is neither a duration nor a time") from err
    if moment.tzinfo is None:
        raise SelectionError(f"{text!r} has no time zone; write it as {text}Z")
    return moment.astimezone(UTC)
