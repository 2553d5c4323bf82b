"""Has one NATS server read its files again whenever they were replaced: for containers.

Watcher asks servers over the system account. That needs a server certificate which is still
valid; after a long sleep none is, and a container cannot signal a process of another one. This
program shares the server's process namespace and its files and needs nothing else: a signal too
many does no harm, so it signals after every replacement and once at its own start.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Final

_SERVER: Final = b"nats-server"
_INTERVAL_S: Final = 0.5
_KILLED_BY_US: Final = (signal.SIGTERM, signal.SIGINT)


def follow(link: Path, pid: int, stopped: Event, report: Callable[[str], None]) -> None:
    """Signal until ``stopped``, after each replacement that a running server has not been told of.

    Args:
        link: symlink to the server's current files.
        pid: process id of the server; it may run or not.
        stopped: ends the loop.
        report: told of every signal.
    """
    told = ""
    while not stopped.wait(_INTERVAL_S):
        target = _target(link)
        if target and target != told and _is_server(pid):
            os.kill(pid, signal.SIGHUP)
            report(f"process {pid} reads {target}")
            told = target


def main() -> int:
    """Follow as the arguments say until SIGTERM and return 0."""
    parser = argparse.ArgumentParser(prog="devstack.reloader", description=__doc__)
    parser.add_argument("--live", type=Path, required=True)
    parser.add_argument("--pid", type=int, default=1, help="1: the first of a namespace")
    arguments = parser.parse_args()
    stopped = Event()
    for number in _KILLED_BY_US:
        signal.signal(number, lambda *_: stopped.set())
    follow(arguments.live, arguments.pid, stopped, _print)
    return 0


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _is_server(pid: int) -> bool:
    try:
        # A pid is reused sooner or later; signal nothing but a server.
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False
    return command.endswith(_SERVER)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
