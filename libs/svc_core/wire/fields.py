"""Checked text fields: instants, names and tokens as messages carry them.

The readers raise `MalformedMessageError`; they never guess.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from svc_core.domain.identity import (
    InstanceName,
    ServiceName,
    Subject,
    instance_name,
    service_name,
    subject,
)
from svc_core.errors import MalformedMessageError

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
# Printable ASCII without space: ids also go into headers, journals and logs.
_WITHOUT_OFFSET: Final = len("2025-01-02T03:04:05.000006")
_TOKEN: Final = re.compile(r"[!-~]{1,200}")


def write_instant(instant: datetime) -> str:
    """Return ``instant`` in UTC with microseconds, such as ``2025-01-02T03:04:05.000006Z``.

    Raises:
        ValueError: ``instant`` is naive.
    """
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    in_utc = instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds")[:_WITHOUT_OFFSET] + "Z"


def read_instant(text: str) -> datetime:
    """Return the instant written as ``text``, aware, in UTC."""
    if not _INSTANT.fullmatch(text):
        raise MalformedMessageError("an instant is not ISO-8601 in UTC with microseconds")
    try:
        return datetime.fromisoformat(text)
    except ValueError as err:
        raise MalformedMessageError("an instant is no date") from err


def read_token(text: str, what: str) -> str:
    """Return ``text`` if it is 1 to 200 printable ASCII characters without space."""
    if not _TOKEN.fullmatch(text):
        raise MalformedMessageError(f"{what} is not 1 to 200 printable characters")
    return text


@lru_cache(maxsize=1024)
def read_service(text: str) -> ServiceName:
    """Return ``text`` as the name of a service."""
    try:
        return service_name(text)
    except ValueError as err:
        raise MalformedMessageError("illegal service name") from err


@lru_cache(maxsize=1024)
def read_instance(text: str) -> InstanceName:
    """Return ``text`` as the name of an instance."""
    try:
        return instance_name(text)
    except ValueError as err:
        raise MalformedMessageError("illegal instance name") from err


@lru_cache(maxsize=1024)
def read_subject(text: str) -> Subject:
    """Return ``text`` as a literal subject."""
    try:
        return subject(text)
    except ValueError as err:
        raise MalformedMessageError("illegal subject") from err


def require(condition: bool, reason: str) -> None:
    """Raise `MalformedMessageError` with ``reason`` unless ``condition`` holds."""
    if not condition:
        raise MalformedMessageError(reason)
