"""Waiting until something is true, with a deadline and a report of who kept us waiting."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from devstack.children import Child
from devstack.errors import StackStartError

_INTERVAL_S: Final = 0.03
_TAIL_LINES: Final = 5
_TAIL_BYTES: Final = 8192

Probe = Callable[[], Awaitable[bool]]


async def wait_until(
    probe: Probe,
    *,
    within: timedelta,
    part: str | Callable[[], str],
    involved: Sequence[Child] = (),
) -> None:
    """Ask ``probe`` until it says yes.

    Args:
        probe: whether it is true by now.
        within: how long to ask.
        part: what is being waited for, for the error; a function when that changes.
        involved: children without which it cannot come true; one that gave up ends the wait.

    Raises:
        StackStartError: it did not come true, with the last lines of the involved logs.
    """
    try:
        async with asyncio.timeout(within.total_seconds()):
            while not await probe():
                _raise_if_given_up(_name(part), involved)
                await asyncio.sleep(_INTERVAL_S)
    except TimeoutError:
        what = f"{_name(part)} was not ready within {within.total_seconds():.0f} s"
        raise StackStartError(_with_logs(what, involved)) from None


def last_lines(path: Path, *, count: int = _TAIL_LINES) -> list[str]:
    """Return the last lines of a log file; none when it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []


def _name(part: str | Callable[[], str]) -> str:
    return part if isinstance(part, str) else part()


def _raise_if_given_up(part: str, involved: Sequence[Child]) -> None:
    for child in involved:
        if child.has_given_up:
            what = f"{part} will not be ready: {child.program.name} cannot start"
            raise StackStartError(_with_logs(what, [child]))


def _with_logs(what: str, involved: Sequence[Child]) -> str:
    lines = [what]
    for child in involved:
        for path in (child.program.log_file, child.program.structured_log):
            if path is not None:
                lines += [f"  {child.program.name}: {line}" for line in last_lines(path)]
    return "\n".join(lines)
