"""Running a command to its end, or to Ctrl-C, and saying how it went with the exit code."""

import asyncio
import errno
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

from svc_core.errors import ConfigError, SvcError

FAILED: Final = 1
MISCONFIGURED: Final = 2
_BY_SIGNAL: Final = 128
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_WAY_IN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR})

Command = Callable[[], Coroutine[Any, Any, int]]


def leave_on_signals() -> None:
    """End this process at once on Ctrl-C or SIGTERM until a command runs: nothing is begun yet."""

    def leave(number: int, _frame: object) -> NoReturn:
        raise SystemExit(_BY_SIGNAL + number)

    for number in _SIGNALS:
        signal.signal(number, leave)


def run_command(command: Command) -> int:
    """Run ``command`` and return its exit code.

    A signal cancels the command, which ends what it started; later signals change nothing.

    Returns:
        What the command returned; 1 and 2 (with one line on stderr) after an error, 2 for those
        that a person can mend before the next start; 130 or 143 after a signal.
    """
    try:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(_until_signalled(command))
    except ConfigError as err:
        return _complain(str(err), err.advice, MISCONFIGURED)
    except SvcError as err:
        return _complain(str(err), err.advice, FAILED)
    except OSError as err:
        if err.errno not in _NO_ROOM | _NO_WAY_IN:
            raise
        where = err.filename or "the stack's directory"
        if err.errno in _NO_ROOM:
            return _complain(f"no space left for {where}", "free some disk space", MISCONFIGURED)
        advice = "check its rights, or name another directory with --var"
        return _complain(f"cannot use {where}: {err.strerror}", advice, MISCONFIGURED)


async def _until_signalled(command: Command) -> int:
    received: list[int] = []
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if not received and task is not None:
            task.cancel()
        received.append(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        return await command()
    except asyncio.CancelledError:
        if not received:
            raise
        return _BY_SIGNAL + received[0]
    finally:
        for number in _SIGNALS:
            # Ignored from here on: whatever is left takes a moment and must not be cut in half.
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


def _complain(what: str, advice: str, code: int) -> int:
    sentence = f"{advice[:1].upper()}{advice[1:]}." if advice else ""
    sys.stderr.write(f"error: {what.rstrip('.')}. {sentence}".rstrip() + "\n")
    return code
