"""Dead letters for people and for programs. What strangers wrote is shown, never interpreted.

Payloads are not decrypted: nothing here has a key.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from console.letter_advice import meaning_of, next_step
from console.letter_selection import code_of
from svc_core.adapters.dead_letter_box import StoredLetter
from svc_core.domain.replays import ReplayMark
from svc_core.errors import MalformedMessageError
from svc_core.wire import signed_message
from svc_core.wire.dead_letter import DeadLetter

_DUMPED: Final = 512
_PER_LINE: Final = 16
_COLUMNS: Final = ("id", "refused_at", "service", "code", "place", "bytes", "replayed")
_ASCII: Final = range(0x20, 0x7F)

Marks = Sequence[ReplayMark]


def printable(text: str) -> str:
    """Return ``text`` without anything a terminal would act on."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def letters_table(letters: Iterable[StoredLetter], marks: Marks) -> Table:
    """Return one line per letter."""
    table = Table()
    for name in _COLUMNS:
        table.add_column(name.replace("_", " "), overflow="fold")
    for stored in letters:
        row = summary(stored, marks)
        table.add_row(*(Text(printable(str(row[name]))) for name in _COLUMNS))
    return table


def summary(stored: StoredLetter, marks: Marks) -> dict[str, object]:
    """Return one letter as JSON-shaped data, without its payload."""
    letter = stored.letter
    place = f"{letter.stream}#{letter.sequence}" if letter else ""
    return {
        "id": stored.id,
        "service": stored.service,
        "code": code_of(stored),
        "refused_at": _instant(letter.refused_at) if letter else "",
        "refused_by": letter.refused_by if letter else "",
        "subject": letter.subject if letter else "",
        "place": place,
        "deliveries": letter.deliveries if letter else 0,
        "bytes": letter.payload_size if letter else len(stored.raw),
        "replayed": replayed(stored.id, marks),
    }


def replayed(letter: int, marks: Marks) -> str:
    """Return when a letter was replayed last, ``begun`` if that was interrupted, or nothing."""
    own = [mark for mark in marks if mark.letter == letter]
    if not own:
        return ""
    attempt = max(mark.attempt for mark in own)
    done = [mark.at for mark in own if mark.attempt == attempt and mark.is_done]
    return _instant(done[0]) if done else "begun"


def details(stored: StoredLetter, marks: Marks) -> dict[str, object]:
    """Return one letter as JSON-shaped data: what is said about it and the start of its bytes."""
    code = code_of(stored)
    payload = stored.letter.payload if stored.letter else stored.raw
    return summary(stored, marks) | {
        "meaning": meaning_of(code),
        "next": next_step(code),
        "headers": dict(stored.letter.headers) if stored.letter else {},
        "message": _claims(stored.letter),
        "payload_start_hex": payload[:_DUMPED].hex(),
    }


def print_details(console: Console, stored: StoredLetter, marks: Marks) -> None:
    """Print one letter: the reason, where it came from, what it claims to be, its first bytes."""
    shown = details(stored, marks)
    payload = stored.letter.payload if stored.letter else stored.raw
    for name in ("id", "service", "refused_by", "refused_at", "code", "meaning", "next"):
        _line(console, name, shown[name])
    for name in ("subject", "place", "deliveries", "bytes", "replayed"):
        _line(console, name, shown[name])
    _section(console, "headers", shown["headers"])
    _section(console, "what the message says of itself, unverified", shown["message"])
    _print(console, f"first bytes of {len(payload)}, as they came:")
    for line in hex_dump(payload[:_DUMPED]):
        _print(console, f"  {line}")


def hex_dump(data: bytes) -> list[str]:
    """Return lines of offset, sixteen bytes in hexadecimal, and those of them that are ASCII."""
    lines = []
    for start in range(0, len(data), _PER_LINE):
        part = data[start : start + _PER_LINE]
        text = "".join(chr(byte) if byte in _ASCII else "." for byte in part)
        lines.append(f"{start:06x}  {part.hex(' '):<{3 * _PER_LINE}} {text}")
    return lines


def _claims(letter: DeadLetter | None) -> dict[str, object]:
    """Return the header fields of the refused message; nothing if it is no message of ours."""
    if letter is None:
        return {}
    try:
        message = signed_message.decode(letter.payload)
    except MalformedMessageError:
        return {}
    return {
        "message_id": message.message_id,
        "message_type": message.message_type,
        "signer": message.signer,
        "topic": message.topic,
        "sent_at": _instant(message.sent_at),
        "key_epoch": message.key_epoch,
        "ca_epoch": message.ca_epoch,
        "encrypt_key_id": message.encrypt_key_id,
        "algorithm": message.algorithm,
        "is_batched": message.batch_proof is not None,
        "sealed_bytes": len(message.payload),
    }


def _section(console: Console, title: str, pairs: object) -> None:
    if not isinstance(pairs, Mapping) or not pairs:
        return
    _print(console, f"{title}:")
    for name, value in pairs.items():
        _line(console, f"  {name}", value)


def _line(console: Console, name: str, value: object) -> None:
    if value not in {"", None}:
        _print(console, f"{printable(name.replace('_', ' '))}: {printable(str(value))}")


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _instant(at: datetime | None) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else ""
