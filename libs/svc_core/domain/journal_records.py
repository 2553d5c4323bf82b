"""One line per fact about one message: what the journals of both ends hold.

A line is ``kind<TAB>nanoseconds since 1970<TAB>id<TAB>extra<LF>``, ASCII. A verdict about a run is
computed from these lines alone, so a message that was never written down never happened.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from svc_core.domain.epochs import UNIX_EPOCH
from svc_core.errors import MalformedMessageError

_RECORD_ID: Final = re.compile(r"[!-~]{1,200}")
_EXTRA: Final = re.compile(r"[!-~]{0,200}")
_FIELDS: Final = 4
_MICROSECOND: Final = timedelta(microseconds=1)


class RecordKind(StrEnum):
    """What happened; the meaning of ``extra`` is in brackets."""

    BOOTED = "booted"
    """A process opened its journal; the id is its boot id."""
    SENT = "sent"
    """A request is about to be published (nanoseconds at which it was due)."""
    ACKED = "acked"
    """The broker acknowledged the request."""
    SKIPPED = "skipped"
    """Requests were dropped unsent because the sender was late (how many)."""
    HANDLED = "handled"
    """A request was decided and its response stored (``<key epoch>/<signer>`` of the request)."""
    ANSWERED = "answered"
    """A response reached the asker (``<key epoch>/<signer>`` of the response)."""
    REDELIVERED = "redelivered"
    """A message that had its effect before came again and was acknowledged silently
    (``<key epoch>/<signer>`` of this copy)."""
    REJECTED = "rejected"
    """A message was refused for good (error code); the id is ``<stream>#<sequence>``."""


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One fact; ``at_ns`` counts nanoseconds since 1970."""

    kind: RecordKind
    at_ns: int
    record_id: str
    extra: str = ""


def unix_ns(instant: datetime) -> int:
    """Return an aware instant as nanoseconds since 1970, exact to the microsecond."""
    return (instant - UNIX_EPOCH) // _MICROSECOND * 1000


def instant_of(at_ns: int) -> datetime:
    """Return nanoseconds since 1970 as an aware instant in UTC, cut to the microsecond."""
    return UNIX_EPOCH + timedelta(microseconds=at_ns // 1000)


def check_record_id(text: str) -> str:
    """Return ``text`` if it can be the id of a record: 1 to 200 printable ASCII characters.

    Raises:
        MalformedMessageError: it cannot, so a message with this id must be refused.
    """
    if not _RECORD_ID.fullmatch(text):
        raise MalformedMessageError("the message id is not 1 to 200 printable ASCII characters")
    return text


def encode(record: JournalRecord) -> bytes:
    """Return the record as one line with its line feed.

    Raises:
        ValueError: the id or the extra is not short printable ASCII.
    """
    if not _RECORD_ID.fullmatch(record.record_id) or not _EXTRA.fullmatch(record.extra):
        raise ValueError(f"not a journal record: {record}")
    return f"{record.kind}\t{record.at_ns}\t{record.record_id}\t{record.extra}\n".encode("ascii")


def decode(line: bytes) -> JournalRecord:
    """Return the record of one line (without its line feed).

    Raises:
        ValueError: the line is no record.
    """
    fields = line.decode("ascii").split("\t")
    if len(fields) != _FIELDS:
        raise ValueError(f"a journal line has {_FIELDS} fields, this one {len(fields)}")
    kind, at_ns, record_id, extra = fields
    return JournalRecord(RecordKind(kind), int(at_ns), record_id, extra)
