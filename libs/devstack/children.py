"""A program to run, and the child it became."""

import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from devstack.process_ids import ProcessId
from devstack.programs import Account

CANNOT_START: Final = 2
"""Exit code of a service that cannot start as configured: starting it again would not help."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how to end it."""

    name: str
    argv: tuple[str, ...]
    """The first is an absolute path."""
    log_file: Path
    directory: Path
    environment: Mapping[str, str]
    stage: int
    """Higher stages are ended first; those of one stage together."""
    stop_within: timedelta
    """From SIGTERM to SIGKILL."""
    structured_log: Path | None = None
    """Where it writes its own log, if not to its output."""
    account: Account | None = None
    longest_pause: timedelta = timedelta(seconds=5)
    """Most that is waited before it is started again, however often it dies."""
    after_restart: Callable[[], Awaitable[None]] | None = None
    """What to do when it runs again after it died, before it counts as running."""


@dataclass(slots=True)
class Child:
    """One supervised program and what became of it."""

    program: Program
    popen: subprocess.Popen[bytes]
    process: ProcessId
    restarts: int = 0
    last_exit: int | None = None
    """Exit code of its last death (negative: a signal), if it ever died."""
    is_wanted: bool = True
    """False while it is being ended on purpose, and once it has given up."""
    started: float = field(default=0.0)
    """Loop time of its last start, seconds."""

    @property
    def pid(self) -> int:
        """Process id of the present incarnation."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether it runs now."""
        return self.popen.poll() is None

    @property
    def has_given_up(self) -> bool:
        """Whether it ended saying that it cannot start as configured."""
        return not self.is_running and self.last_exit == CANNOT_START
