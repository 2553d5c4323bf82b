"""What one entry of the ACL manifest may be: a literal subject, or something to say about it.

NATS' own rules (tokens between dots, ``*`` and ``>`` only as whole tokens, ``$`` for the servers)
and ours on top: a key belongs to one literal topic, so a wildcard cannot have one.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from svc_core.domain.identity import subject

MAX_SUBJECT: Final = 256
"""Characters in a subject."""
MAX_TOKEN: Final = 128
"""Characters between two dots."""

_WILDCARDS: Final = frozenset({"*", ">"})
_RESERVED: Final = ("$", "_INBOX")
_LEGAL: Final = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN: Final = 60


class Severity(Enum):
    """What follows from a finding."""

    ERROR = "error"
    """The manifest is refused as a whole."""
    IGNORED = "ignored"
    """A warning: the entry, or the service, gets no key and no permission."""
    DOUBTFUL = "doubtful"
    """A warning: it grants what it says, but is probably not what was meant."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said about something, as a person should read it."""

    severity: Severity
    reason: str


def judge_entry(entry: str) -> Finding | None:
    """Return what is wrong with ``entry``; None when it is a topic that can be granted."""
    try:
        subject(entry)
    except ValueError:
        return _why(entry)
    return _reserved(entry) if entry.startswith(_RESERVED) else None


def shown(name: str) -> str:
    """Return ``name`` for a message: as it is when it could be one, in quotes otherwise."""
    return name if len(name) <= _SHOWN and _LEGAL.fullmatch(name) else quoted(name)


def quoted(text: str) -> str:
    """Return ``text`` for a message: printable, in quotes, and not endless."""
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return ascii(shown)


def _why(entry: str) -> Finding:
    if not entry:
        return Finding(Severity.ERROR, "an empty subject")
    if len(entry) > MAX_SUBJECT:
        text = f"{quoted(entry)} has {len(entry)} characters, {MAX_SUBJECT} are allowed"
        return Finding(Severity.ERROR, text)
    tokens = entry.removeprefix("$").split(".")
    for token in tokens:
        if error := _wrong_token(token):
            return Finding(Severity.ERROR, f"{quoted(entry)} {error}")
    if ">" in tokens[:-1]:
        return Finding(Severity.ERROR, f"{quoted(entry)} is illegal: > may only be the last token")
    if entry.startswith(_RESERVED):
        return _reserved(entry)
    reason = f"{entry} is a wildcard, and keys belong to literal topics: it grants nothing"
    return Finding(Severity.IGNORED, reason)


def _wrong_token(token: str) -> str:
    if not token:
        return "has an empty token: no dot may be first, last or next to another"
    if any(c.isspace() for c in token):
        return "has white space in it"
    if len(token) > MAX_TOKEN:
        return f"has a token longer than {MAX_TOKEN} characters"
    if token in _WILDCARDS or _LEGAL.fullmatch(token):
        return ""
    if set(token) & _WILDCARDS:
        return "is illegal: * and > must be tokens of their own"
    return "is illegal: tokens are made of letters, digits, - and _"


def _reserved(entry: str) -> Finding:
    reason = f"{entry} belongs to the NATS servers and clients themselves: it grants nothing"
    return Finding(Severity.IGNORED, reason)
