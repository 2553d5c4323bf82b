"""Durations as people write them: ISO-8601 or a number with its unit."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SHORT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_ISO: Final = re.compile(
    r"P(?:(\d+(?:\.\d+)?)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?"
)


def parse_duration(value: object) -> timedelta:
    """Return ``value`` (a timedelta, ``PT20M``, ``20s``, ``1.5h``) as a timedelta.

    Raises:
        ValueError: it is neither; a bare number has no unit and is refused.
    """
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError("write a duration with its unit, such as 20s, 15m or PT20M")  # noqa: TRY004 (a ValueError is what pydantic reports with its place)
    text = value.strip()
    if short := _SHORT.fullmatch(text):
        return timedelta(seconds=float(short[1]) * _UNITS[short[2]])
    iso = _ISO.fullmatch(text)
    if iso is None or not any(iso.groups()):
        raise ValueError(f"{text!r} is no duration; write 20s, 15m, 3h, 14d or PT20M")
    days, hours, minutes, seconds = (float(part or 0) for part in iso.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
