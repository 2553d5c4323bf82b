"""`ReloadSignal` by pid file, checked to be a nats-server before it is signalled."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Final

_PROGRAM: Final = b"nats-server"


class PidFileSignal:
    """SIGHUP to the process whose pid a file names."""

    def __init__(self, pid_file: Path) -> None:
        self._pid_file = pid_file

    async def signal(self) -> bool:
        """Send SIGHUP; return False when no such process runs."""
        return await asyncio.to_thread(self._signal)

    def _signal(self) -> bool:
        try:
            pid = int(self._pid_file.read_text().strip())
            # A pid is reused sooner or later; signal nothing but the program that wrote it.
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
            if command.rpartition(b"/")[2] != _PROGRAM:
                return False
            os.kill(pid, signal.SIGHUP)
        except (OSError, ValueError):
            return False
        return True
