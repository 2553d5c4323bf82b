"""Reading what streams have stored, by requests that any of their replicas answers."""

from typing import Final

import msgspec
from nats.aio.msg import Msg

from svc_core.adapters.nats_gathering import ask_until
from svc_core.adapters.nats_link import NatsLink
from svc_core.ports.bus import StoredMessage

_WITHIN_S: Final = 2.0
_BATCH_BYTES: Final = 4 << 20
_END_OF_BATCH: Final = frozenset({"204", "404"})


async def fetch_last(link: NatsLink, stream: str, topic: str) -> StoredMessage | None:
    """Return the last message stored on ``topic``, or None."""
    answer = await link.ask(_direct_get(f"{stream}.{topic}"), b"", timeout_s=_WITHIN_S)
    headers = answer.headers or {}
    if "Status" in headers and "Nats-Sequence" not in headers:
        return None
    return StoredMessage(topic, answer.data, int(headers.get("Nats-Sequence", 0)))


async def fetch_last_matching(
    link: NatsLink, stream: str, pattern: str
) -> tuple[StoredMessage, ...]:
    """Return the last message of every subject that matches ``pattern``."""
    answers = await ask_until(
        link,
        _direct_get(stream),
        b'{"multi_last":["' + pattern.encode() + b'"]}',
        timeout_s=_WITHIN_S,
        is_last=lambda m: (m.headers or {}).get("Status") in _END_OF_BATCH,
    )
    return tuple(_stored(m) for m in answers)


async def fetch_from(
    link: NatsLink, stream: str, pattern: str, *, first: int, most: int
) -> tuple[StoredMessage, ...]:
    """Return up to ``most`` messages that match ``pattern``, oldest first, from ``first`` on."""
    query = {"batch": most, "max_bytes": _BATCH_BYTES, "seq": first, "next_by_subj": pattern}
    answers = await ask_until(
        link,
        _direct_get(stream),
        msgspec.json.encode(query),
        timeout_s=_WITHIN_S,
        # A stored message may carry any header, but the server adds its own place to each.
        is_last=lambda m: "Nats-Sequence" not in (m.headers or {}),
    )
    return tuple(_stored(m) for m in answers)


def _direct_get(what: str) -> str:
    return f"$JS.API.DIRECT.GET.{what}"


def _stored(message: Msg) -> StoredMessage:
    headers = message.headers or {}
    subject = headers.get("Nats-Subject", "")
    return StoredMessage(subject, message.data, int(headers.get("Nats-Sequence", 0)))
