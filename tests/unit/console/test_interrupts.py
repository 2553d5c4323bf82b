"""Exit codes: of commands that end, fail, and are interrupted."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.interrupts import run_command
from svc_core.errors import BusError, ConfigError, StorageFullError

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """Put the test runner's own signal handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class PortTakenError(ConfigError):
    advice = "choose another one"


async def failing(error: Exception) -> int:
    raise error


@pytest.mark.parametrize("code", [0, 1])
def test_the_exit_code_is_the_commands(code: int) -> None:
    async def command() -> int:
        return code

    assert run_command(command) == code


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        pytest.param(
            PortTakenError("port 1 is taken"),
            2,
            "error: port 1 is taken. Choose another one.\n",
            id="configuration",
        ),
        pytest.param(ConfigError("odd."), 2, "error: odd.\n", id="no advice"),
        pytest.param(BusError("no answer"), 1, "error: no answer.\n", id="dependency"),
        pytest.param(
            StorageFullError("no space left"),
            1,
            "error: no space left. Free some disk space, then start again.\n",
            id="full at run time",
        ),
        pytest.param(
            OSError(errno.ENOSPC, "No space left on device", "/x"),
            2,
            "error: no space left for /x. Free some disk space.\n",
            id="full at start",
        ),
        pytest.param(
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            2,
            "error: cannot use /x: Permission denied. "
            "Check its rights, or name another directory with --var.\n",
            id="no rights",
        ),
    ],
)
def test_an_error_is_one_line_with_advice(
    error: Exception, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(lambda: failing(error)) == code
    assert capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: failing(ZeroDivisionError()))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_command_which_cleans_up(number: int, code: int) -> None:
    cleaned: list[str] = []

    async def command() -> int:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), number)  # an impatient second one
            await asyncio.sleep(0.01)
            cleaned.append("all of it")
        return 0

    assert run_command(command) == code
    assert cleaned == ["all of it"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_anything_runs_ends_at_once(number: int, code: int) -> None:
    program = (
        "import os, signal; from console.interrupts import leave_on_signals; "
        f"leave_on_signals(); os.kill(os.getpid(), {int(number)}); signal.pause()"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": os.pathsep.join((str(ROOT / "libs"), str(ROOT)))},
        capture_output=True,
        timeout=10,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (code, b"")
