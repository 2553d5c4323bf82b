"""Only a nats-server is ever signalled, whatever a pid file says."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.watcher.adapters.signals import PidFileSignal

WAITS = """
import signal, sys
signal.signal(signal.SIGHUP, lambda *_: sys.exit(7))
print("ready", flush=True)
signal.pause()
"""


@contextmanager
def running(name: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that calls itself ``name`` and exits with 7 on SIGHUP."""
    process = subprocess.Popen(
        [str(folder / name), "-c", WAITS],
        executable=sys.executable,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def pid_file(folder: Path, content: str) -> PidFileSignal:
    path = folder / "nats.pid"
    path.write_text(content)
    return PidFileSignal(path)


async def test_a_nats_server_is_signalled(tmp_path: Path) -> None:
    with running("nats-server", tmp_path) as process:
        assert await pid_file(tmp_path, f"{process.pid}\n").signal()

        assert process.wait(5) == 7


@pytest.mark.parametrize("name", ["python", "not-nats-server", "nats-server-exporter"])
async def test_another_program_under_that_pid_is_left_alone(tmp_path: Path, name: str) -> None:
    with running(name, tmp_path) as process:
        assert not await pid_file(tmp_path, str(process.pid)).signal()

        assert process.poll() is None
        process.send_signal(signal.SIGHUP)
        assert process.wait(5) == 7  # it would have noticed


async def test_a_process_that_has_ended_is_not_there(tmp_path: Path) -> None:
    with running("nats-server", tmp_path) as process:
        pass

    assert not await pid_file(tmp_path, str(process.pid)).signal()


@pytest.mark.parametrize("content", ["", "no number", "0", "-1", "99999999", "1 2"])
async def test_a_pid_file_without_a_pid_names_nobody(tmp_path: Path, content: str) -> None:
    assert not await pid_file(tmp_path, content).signal()


async def test_without_a_pid_file_nothing_runs(tmp_path: Path) -> None:
    assert not await PidFileSignal(tmp_path / "nats.pid").signal()
