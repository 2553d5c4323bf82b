"""Becomes another program, tied to the life of the process that started it.

Run as a script: ``python -I -S launcher.py <parent pid> <tie|free> <uid:gid|-> <program> ...``.
It waits for one byte on standard input before it becomes the program, so that a supervisor can
write down the process id first; end of file instead means the supervisor is gone. It imports
nothing of this project, since it stands between every child's start and its first instruction.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_GIVEN_UP = 127


def launch(arguments: Sequence[str]) -> int:
    """Become the program named in ``arguments``; returns only when that is not possible."""
    parent, tie, account, *program = arguments
    if account != "-":
        _become(account)
    if tie == "tie":
        # After the change of account, which would clear it.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != int(parent):
            return _GIVEN_UP
    if os.read(0, 1) != b"g":
        return _GIVEN_UP
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    try:
        os.execv(program[0], program)  # noqa: S606 (becoming another program is its purpose)
    except OSError as err:
        os.write(2, f"cannot run {program[0]}: {err}\n".encode())
    return _GIVEN_UP


def _become(account: str) -> None:
    user, group = (int(part) for part in account.split(":"))
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
