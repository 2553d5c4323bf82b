"""A message that was refused for good, as it was, with the reason."""

from dataclasses import dataclass, field
from typing import Final

from svc_core.wire.records import RecordCodec

LIMIT: Final = 96 * 1024
"""Most bytes of one encoded dead letter."""

_CODEC: Final = RecordCodec.of("dead_letter", tag=b"W1", limit=LIMIT)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was refused, where it came from, and why."""

    code: str
    """Stable code of the error, such as ``message.malformed``."""
    stream: str
    subject: str
    sequence: int
    """Place of the message in its stream."""
    payload: bytes = field(repr=False)
    """The refused bytes, unchanged."""


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
        }
    )


def decode(raw: bytes) -> DeadLetter:
    """Return the dead letter in ``raw``, or raise `MalformedMessageError`."""
    record = _CODEC.decode(raw)
    return DeadLetter(
        record["code"], record["stream"], record["subject"], record["sequence"], record["payload"]
    )
