"""What an error code in a dead letter means, and what to do about it."""

from collections.abc import Iterator, Mapping
from typing import Final

from console.letter_selection import UNREADABLE
from svc_core import errors
from svc_core.errors import SvcError

_REPLAY: Final = "mend the cause, then replay the letter"
_SEND_ANEW: Final = "its producer has to send it anew: the same bytes will be refused again"
_SUSPECT: Final = "find out who published it; it is no message of ours, or was changed on its way"

_NEXT: Final[Mapping[str, str]] = {
    "delivery.exhausted": _REPLAY,
    "internal.unclassified": f"the handler has a bug, its log says where; {_REPLAY}",
    "message.malformed": _SUSPECT,
    "message.oversized": _SEND_ANEW,
    "message.verification_failed": _SUSPECT,
    "message.topic_mismatch": _SUSPECT,
    "message.producer_not_allowed": "grant the right if it is meant to have it, then replay",
    "message.unknown_key": "see whether the service has its bundle; while the key lives, replay",
    "message.key_expired": _SEND_ANEW,
    "message.algorithm_mismatch": _SUSPECT,
    "message.algorithm_refused": "accept the algorithm if it should be, then replay",
    "message.stale": _SEND_ANEW,
    "message.from_the_future": "compare the clocks, then replay once the time has come",
    "message.replayed": "nothing: it was answered before",
    "topic.permission_denied": "grant the right if it is meant to have it, then replay",
    UNREADABLE: "purge it: its service wrote something that is no dead letter",
}


def meaning_of(code: str) -> str:
    """Return what ``code`` says, in a sentence; empty for a code that is not known here."""
    if code == UNREADABLE:
        return "What is stored is no dead letter."
    known = {kind.code: kind for kind in _kinds(SvcError)}
    text = (known[code].__doc__ or "") if code in known else ""
    return " ".join(text.split())


def next_step(code: str) -> str:
    """Return what a person can do about a letter with ``code``."""
    return _NEXT.get(code, _REPLAY)


def _kinds(base: type[SvcError]) -> Iterator[type[SvcError]]:
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from _kinds(kind)
