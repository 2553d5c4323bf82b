"""The commands as a person runs them: processes with output, signals and an exit code."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.e2e.waiting import until

_PROGRAMS: Final = Path(sys.executable).parent
_HURRY_S: Final = 15.0


@dataclass(slots=True)
class RunningCommand:
    """One command that was started."""

    process: asyncio.subprocess.Process
    output: Path
    """What it wrote to standard output."""
    errors: Path
    """What it wrote to standard error."""

    def said(self, text: str) -> bool:
        """Say whether ``text`` has appeared in either of its outputs."""
        return text in self.output.read_text() or text in self.errors.read_text()

    async def says(self, text: str, *, within_s: float) -> None:
        """Wait until ``text`` appears."""

        def is_over() -> bool:
            return self.said(text) or self.process.returncode is not None

        await until(is_over, within_s=within_s, what=f"{text!r} from the command")
        assert self.said(text), f"ended without {text!r}: {self.errors.read_text()}"

    def signal(self, number: int) -> None:
        """Send it a signal, and nobody else."""
        self.process.send_signal(number)

    async def ended(self, *, within_s: float) -> int:
        """Wait for its exit code."""
        async with asyncio.timeout(within_s):
            return await self.process.wait()


@asynccontextmanager
async def command(
    program: str, *arguments: str, notes: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[RunningCommand]:
    """Run a program, by name one of this project's, and make sure that it ends.

    Args:
        program: its name beside this Python, or its path.
        arguments: what it is told.
        notes: directory for its output.
        environment: instead of this process's.
    """
    notes.mkdir(parents=True, exist_ok=True)
    output, errors = notes / "stdout", notes / "stderr"
    with output.open("wb") as out, errors.open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            _PROGRAMS / program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
    try:
        yield RunningCommand(process, output, errors)
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_HURRY_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def processes_of(root: Path) -> dict[int, str]:
    """Return the processes whose command line names ``root``, by their ids."""
    found: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(root) in words and int(process.name) != os.getpid():
                found[int(process.name)] = words
    return found
