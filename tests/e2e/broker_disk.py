"""What somebody gets who rules a NATS server: its files, which hold every message as it was sent.

The format is that of nats-server's file store: each record is its length, a sequence number, a
time, the subject, headers if the highest bit of the length says so, the message and a checksum.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("<IQqH")
"""Length of the record with the mark for headers, sequence, nanoseconds since 1970, length of the
subject."""
_SIZE: Final = struct.Struct("<I")
_CHECKSUM: Final = 8
_LOOKED_AT: Final = 8 << 20
_HAS_HEADERS: Final = 1 << 31
_ERASED: Final = 1 << 63
_HEADERS_BEGIN: Final = b"NATS/1.0\r\n"


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """One message as a server keeps it."""

    sequence: int
    subject: str
    headers: dict[str, str]
    payload: bytes
    raw: bytes
    """The whole record."""


def messages(node: Path, account: str, stream: str) -> list[KeptMessage]:
    """Return the newest messages of a stream on the disk of one node: those of two blocks."""
    folder = node / "js" / "jetstream" / account / "streams" / stream / "msgs"
    blocks = sorted(folder.glob("*.blk"), key=lambda block: int(block.stem))
    return [message for block in blocks[-2:] for message in _read(block.read_bytes())]


def newest_bytes(node: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield every file of one node with the end of it, 8 MiB at most: what was written last."""
    for path in node.rglob("*"):
        try:
            with path.open("rb") as file:
                file.seek(max(path.stat().st_size - _LOOKED_AT, 0))
                yield path, file.read(_LOOKED_AT)
        except (FileNotFoundError, IsADirectoryError):
            continue  # or a log of the cluster's that was just cut


def _read(block: bytes) -> Iterator[KeptMessage]:
    start = 0
    while start + _HEAD.size <= len(block):
        marked, sequence, _, subject_size = _HEAD.unpack_from(block, start)
        size = marked & ~_HAS_HEADERS
        record = block[start : start + size]
        if size < _HEAD.size + _CHECKSUM or len(record) < size:
            return  # still being written
        start += size
        if not sequence & _ERASED and subject_size:
            yield _message(record, sequence, subject_size, has_headers=marked != size)


def _message(record: bytes, sequence: int, subject_size: int, *, has_headers: bool) -> KeptMessage:
    at = _HEAD.size + subject_size
    subject, headers = record[_HEAD.size : at].decode(), {}
    if has_headers:
        (size,) = _SIZE.unpack_from(record, at)
        at += _SIZE.size
        headers = _headers(record[at : at + size])
        at += size
    return KeptMessage(sequence, subject, headers, record[at:-_CHECKSUM], record)


def _headers(raw: bytes) -> dict[str, str]:
    assert raw.startswith(_HEADERS_BEGIN), raw
    lines = raw.removeprefix(_HEADERS_BEGIN).decode().split("\r\n")
    return dict(line.split(": ", 1) for line in lines if line)
