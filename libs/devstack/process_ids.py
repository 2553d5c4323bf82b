"""Process ids that cannot be mistaken: a recycled number is another process.

A process is named by its pid, its start time in clock ticks since boot, and the boot itself.
Signals go through a pidfd that is opened before the name is checked, so nothing can change hands
between the check and the signal.
"""

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

_START_TIME_FIELD = 19  # of the fields after the command's name; field 22 of the whole line
_ZOMBIES = frozenset("ZX")


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, also after its number was given to another."""

    pid: int
    started: int
    """Clock ticks since boot."""
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """Name the process that has ``pid`` now.

        Raises:
            ProcessLookupError: there is none.
        """
        return cls(pid, _start_time(pid), boot_id())

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        try:
            return self == ProcessId.of(self.pid) and _state(self.pid) not in _ZOMBIES
        except ProcessLookupError:
            return False

    def send(self, number: int, *, to_group: bool) -> bool:
        """Send a signal to this process, or to the group it leads; say whether it was there."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.is_alive:
                return False
            if to_group and os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    async def ended(self, within: timedelta) -> bool:
        """Wait until this process has ended; say whether it did in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                await wait_for_exit(self.pid, expected=self)
        return not self.is_alive


async def wait_for_exit(pid: int, *, expected: ProcessId | None = None) -> None:
    """Return when the process ``pid`` has ended (it may still be a zombie)."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    exited = asyncio.Event()
    try:
        if expected is not None and not expected.is_alive:
            return
        loop.add_reader(descriptor, exited.set)
        try:
            await exited.wait()
        finally:
            loop.remove_reader(descriptor)
    finally:
        os.close(descriptor)


def boot_id() -> str:
    """Return the kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_time(pid: int) -> int:
    return int(_stat(pid)[_START_TIME_FIELD])


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _stat(pid: int) -> list[str]:
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError as err:
        raise ProcessLookupError(pid) from err
    # The command's name may hold anything, closing brackets too; the last one ends it.
    return line.rpartition(")")[2].split()
