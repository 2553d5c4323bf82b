"""One service as a process: signals, threads, exit codes, and the one line about why it ended."""

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog
import uvloop

from svc_core.domain.identity import ServiceName
from svc_core.errors import ConfigError, SvcError
from svc_core.runtime.interpreter import tune_interpreter

log = structlog.get_logger()

S = TypeVar("S")

_STOPPED, _FAILED, _MISCONFIGURED = 0, 1, 2

Serve = Callable[[S, asyncio.Event], Coroutine[Any, Any, None]]
"""Serves with these settings until the event is set."""


def run_process(service: ServiceName, load: Callable[[], S], serve: Serve[S]) -> int:
    """Run one service and return its exit code.

    Args:
        service: its name, for what is said about a failure.
        load: reads the settings; may raise `ConfigError`.
        serve: serves until SIGTERM or SIGINT.

    Returns:
        0 stopped (SIGTERM and SIGINT too), 1 failed, 2 cannot start as it is configured.
    """
    try:
        settings = load()
        os.umask(0o077)
        tune_interpreter()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signalled(serve, settings))
    except ConfigError as err:
        return _complain(service, err, _MISCONFIGURED)
    except SvcError as err:
        return _complain(service, err, _FAILED)
    except OSError as err:
        if err.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        full = ConfigError(f"no space left on the disk of {err.filename or 'the state directory'}")
        return _complain(service, full, _MISCONFIGURED)
    return _STOPPED


async def _until_signalled(serve: Serve[S], settings: S) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)


def _complain(service: ServiceName, err: SvcError, code: int) -> int:
    advice = f"; {err.advice}" if err.advice else ""
    sys.stderr.write(f"{service}: {err}{advice} [{err.code}]\n")
    if structlog.is_configured():
        log.error("service.failed", code=err.code, reason=str(err))
    return code
