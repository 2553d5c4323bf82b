"""Ends what a kept or orphaned stack left behind, and removes what a stack made."""

import asyncio
import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from devstack.errors import StackInUseError, StuckProcessError
from devstack.guests import LIGHT, SURVEYOR
from devstack.layout import SERVICES, Layout
from devstack.registry import RegisteredChild, StackRecord, read_record, stack_lock
from svc_core.domain.identity import METADATA

_OWNER_WITHIN: Final = timedelta(seconds=12)
_CHILD_WITHIN: Final = timedelta(seconds=3)
_KILL_WITHIN: Final = timedelta(seconds=1)
_MADE_HERE: Final = (
    *SERVICES,
    "operator",
    "pinned",
    "trust",
    "trust.d",
    "openbao",
    "nats",
    "log",
    "demo",
    LIGHT.name,
    SURVEYOR.name,
    "endpoints.json",
    "stack.json",
)


async def take_down(root: Path, *, purge: bool) -> tuple[str, ...]:
    """End every process of the stack in ``root``, whoever started it; safe to repeat.

    A supervisor that still runs is asked to end its stack itself.

    Args:
        root: the stack's directory; nothing happens when there is none.
        purge: also remove everything the stack made there.

    Returns:
        The names of the processes that were ended, here or by their supervisor.

    Raises:
        StackInUseError: the supervisor did not end in time.
        StuckProcessError: a process did not even die of SIGKILL.
    """
    layout = Layout.at(root)
    if not layout.root.is_dir():
        return ()
    ended = await _ask_owner_to_end(layout)
    with stack_lock(layout):
        ended += await end_leftovers(layout, lambda _: None)
        _remove_unfinished_files(layout.root)
        if purge:
            _purge(layout)
    if purge:
        layout.lock_file.unlink(missing_ok=True)
        if not any(layout.root.iterdir()):
            layout.root.rmdir()
    return ended


async def end_leftovers(layout: Layout, announce: Callable[[str], None]) -> tuple[str, ...]:
    """End the children that ``stack.json`` names and that still run; return their names.

    The caller holds the stack's lock, so their supervisor is gone.

    Raises:
        StuckProcessError: one did not even die of SIGKILL.
    """
    record = read_record(layout.stack_file)
    left = [child for child in record.children if child.process.is_alive] if record else []
    if left:
        announce(f"ending what an earlier stack left: {', '.join(c.name for c in left)}")
    for stage in sorted({child.stage for child in left}, reverse=True):
        await _end([child for child in left if child.stage == stage])
    layout.stack_file.unlink(missing_ok=True)
    return tuple(child.name for child in left)


async def _ask_owner_to_end(layout: Layout) -> tuple[str, ...]:
    record = read_record(layout.stack_file)
    if record is None or _is_unowned(record, layout):
        return ()
    record.owner.send(signal.SIGTERM, to_group=False)
    if not await record.owner.ended(_OWNER_WITHIN):
        raise StackInUseError(layout.root)
    return tuple(child.name for child in record.children)


def _is_unowned(record: StackRecord, layout: Layout) -> bool:
    """A kept stack's owner may live on doing other things; only a held lock proves ownership."""
    if record.is_kept or not record.owner.is_alive:
        return True
    try:
        with stack_lock(layout):
            return True
    except StackInUseError:
        return False


async def _end(children: list[RegisteredChild]) -> None:
    for child in children:
        child.process.send(signal.SIGTERM, to_group=True)
    await _wait(children, _CHILD_WITHIN)
    stubborn = [child for child in children if child.process.is_alive]
    for child in stubborn:
        child.process.send(signal.SIGKILL, to_group=True)
    await _wait(stubborn, _KILL_WITHIN)
    if stuck := [child.name for child in stubborn if child.process.is_alive]:
        raise StuckProcessError(f"did not end even when killed: {', '.join(stuck)}")


async def _wait(children: list[RegisteredChild], within: timedelta) -> None:
    async with asyncio.TaskGroup() as group:
        for child in children:
            group.create_task(child.process.ended(within))


def _remove_unfinished_files(root: Path) -> None:
    """Remove temporaries of interrupted writes: they may hold secrets nobody will ever use."""
    for path in root.rglob(".*.[0-9]*"):
        if path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)


def _purge(layout: Layout) -> None:
    replicas = (path.name for path in layout.root.glob(f"{METADATA}-[0-9]*"))
    for name in (*_MADE_HERE, *replicas):
        path = layout.root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
