"""`ReplayMark` as canonical JSON: an operator's note beside the dead letters."""

from typing import Final

import msgspec

from svc_core.domain.replays import ReplayMark
from svc_core.wire.documents import Int64, decode_json, encode_json
from svc_core.wire.fields import read_instant, require, write_instant

FORMAT: Final = "replay-mark/1"


class _Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    letter: Int64
    attempt: Int64
    done: bool
    at: str


def encode(mark: ReplayMark) -> bytes:
    """Return ``mark`` as canonical JSON."""
    return encode_json(
        _Mark(FORMAT, mark.letter, mark.attempt, mark.is_done, write_instant(mark.at))
    )


def decode(raw: bytes) -> ReplayMark:
    """Return the mark in ``raw``, or raise `MalformedMessageError`."""
    body = decode_json(raw, _Mark)
    require(body.format == FORMAT, "unknown format of a replay mark")
    require(body.letter > 0 and body.attempt > 0, "a replay mark without a letter")
    return ReplayMark(body.letter, body.attempt, body.done, read_instant(body.at))
