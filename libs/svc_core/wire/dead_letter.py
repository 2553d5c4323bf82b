"""A message that was refused for good, as it was, with the reason.

What is kept is bounded, so that a letter can always be stored: of a message that is larger than any
stream takes, or of headers beyond reason, the beginning is kept and the letter says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from svc_core.wire.fields import read_instant, require, write_instant
from svc_core.wire.records import RecordCodec

LIMIT: Final = 96 * 1024
"""Most bytes of one encoded dead letter."""
PAYLOAD_LIMIT: Final = 64 * 1024
"""Most bytes of a refused message that are kept; no data stream takes a larger one."""
HEADERS_LIMIT: Final = 16 * 1024
"""Most bytes of its headers that are kept, names and values together."""

_TAG: Final = b"Y1"
_CODEC: Final = RecordCodec.of("dead_letter", tag=_TAG, limit=LIMIT)
_FORMER_TAG: Final = b"W1"
_FORMER: Final = RecordCodec.of_prototype("dead_letter", fields=5, limit=LIMIT)
"""What was written before letters said when, where and how often: the first five fields."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was refused, where it came from, why, when and by whom."""

    code: str
    """Stable code of the error, such as ``message.malformed``."""
    stream: str
    subject: str
    sequence: int
    """Place of the message in its stream."""
    payload: bytes = field(repr=False)
    """The refused bytes, unchanged; the first 65,536 of them."""
    payload_size: int
    """How many bytes were refused."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """As delivered, in the order of their names; those that fit into 16 KiB."""
    deliveries: int = 0
    """How often the message had been delivered, this time included; 0: not recorded."""
    refused_at: datetime | None = None
    """Aware, UTC; None in letters of the former format."""
    refused_by: str = ""
    """The instance that refused it; empty in letters of the former format."""

    @property
    def is_complete(self) -> bool:
        """Whether every refused byte is here, so that the message can be sent again."""
        return len(self.payload) == self.payload_size


def kept(payload: bytes) -> bytes:
    """Return the part of a refused message that a letter holds."""
    return payload[:PAYLOAD_LIMIT]


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return those of ``headers`` that fit, in the order of their names, as text Avro can hold."""
    result: dict[str, str] = {}
    left = HEADERS_LIMIT
    for name in sorted(headers):
        pair = [text.encode(errors="replace") for text in (name, headers[name])]
        left -= sum(map(len, pair))
        if left < 0:
            break
        result[pair[0].decode()] = pair[1].decode()
    return result


def encode(letter: DeadLetter) -> bytes:
    """Return the bytes of ``letter``.

    Raises:
        ValueError: they would be more than 96 KiB.
    """
    return _CODEC.encode(
        {
            "code": letter.code,
            "stream": letter.stream,
            "subject": letter.subject,
            "sequence": letter.sequence,
            "payload": letter.payload,
            "payloadSize": letter.payload_size,
            "headers": dict(letter.headers),
            "deliveries": letter.deliveries,
            "refusedAt": write_instant(letter.refused_at) if letter.refused_at else "",
            "refusedBy": letter.refused_by,
        }
    )


def decode(raw: bytes) -> DeadLetter:
    """Return the dead letter in ``raw``, also one of the former format.

    Raises:
        MalformedMessageError: it is none.
    """
    if raw.startswith(_FORMER_TAG):
        record = _FORMER.decode(raw[len(_FORMER_TAG) :])
        return DeadLetter(**_first_fields(record), payload_size=len(record["payload"]))
    record = _CODEC.decode(raw)
    require(record["payloadSize"] >= len(record["payload"]), "a letter larger than its message")
    require(record["deliveries"] >= 0, "a negative number of deliveries")
    return DeadLetter(
        **_first_fields(record),
        payload_size=record["payloadSize"],
        headers=record["headers"],
        deliveries=record["deliveries"],
        refused_at=read_instant(record["refusedAt"]) if record["refusedAt"] else None,
        refused_by=record["refusedBy"],
    )


def _first_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in ("code", "stream", "subject", "sequence", "payload")}
