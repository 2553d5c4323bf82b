"""Loops are supervised, never loose.

A loop runs for ever. When it raises an error that says RETRY it is started again after a back-off;
any other error ends the whole group, and so does a return, which is a bug. Cancellation is
shutdown: loops may finish what they began within the drain time, then they are cut.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Final, NoReturn, Protocol

import structlog

from svc_core.errors import Disposition, LoopExitedError, SvcError
from svc_core.runtime.backoff import Backoff

log = structlog.get_logger()

DEFAULT_BACKOFF: Final = Backoff(timedelta(milliseconds=250), timedelta(seconds=5))
DEFAULT_DRAIN: Final = timedelta(seconds=5)
_LOOK_AGAIN_S: Final = 0.1

Interrupted = Callable[[str, SvcError], None]
"""Called with a loop's name and the error that interrupted it, before the back-off."""


class Loop(Protocol):
    """An agent that works for ever."""

    @property
    def name(self) -> str:
        """Short, stable, snake_case: it is a label in logs, metrics and readiness."""
        ...

    async def run(self) -> None:
        """Work until cancelled; raise `SvcError` to be judged by its disposition."""
        ...


async def run_until(
    stop: asyncio.Event,
    loops: Sequence[Loop],
    backoff: Backoff = DEFAULT_BACKOFF,
    *,
    drain: timedelta = DEFAULT_DRAIN,
    on_interrupted: Interrupted | None = None,
) -> None:
    """Run ``loops`` side by side until ``stop`` is set or one of them fails for good.

    Args:
        backoff: iterated afresh for each loop, and again after each healthy spell.
        drain: how long loops may take to finish after the stop, before they are cut.
        on_interrupted: told of every error that a loop will be started again after.

    Raises:
        SvcError: the first error whose disposition is not RETRY, as it was raised.
        LoopExitedError: a loop returned.
    """
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(supervise(loop, backoff, on_interrupted), name=loop.name)
                for loop in loops
            ]
            try:
                await stop.wait()
            finally:
                await _drain(tasks, drain)
    except BaseExceptionGroup as failures:
        failure = _gravest(failures)
    if failure is not None:
        # Raised outside the handler, so that the error keeps its own cause and nothing else.
        raise failure


async def supervise(
    loop: Loop, backoff: Backoff = DEFAULT_BACKOFF, on_interrupted: Interrupted | None = None
) -> NoReturn:
    """Run ``loop`` for ever, starting it again after every error that says RETRY.

    A run that lasted longer than the longest delay was healthy: the delays start over.

    Raises:
        LoopExitedError: the loop returned.
    """
    clock = asyncio.get_running_loop().time
    delays = iter(backoff)
    last_code = ""
    while True:
        began = clock()
        error = await _run_once(loop)
        if clock() - began > backoff.most.total_seconds():
            delays, last_code = iter(backoff), ""
        delay = next(delays).total_seconds()
        _report(loop.name, error, delay, is_repeat=error.code == last_code)
        last_code = error.code
        if on_interrupted is not None:
            on_interrupted(loop.name, error)
        await asyncio.sleep(delay)


async def _run_once(loop: Loop) -> SvcError:
    """Return the retryable error that ended the run; raise anything else."""
    try:
        await loop.run()
    except SvcError as error:
        return _retryable(error)
    except BaseExceptionGroup as failures:
        return _retryable(_gravest(failures))
    raise LoopExitedError(f"loop {loop.name!r} returned, but loops run for ever")


def _retryable(error: BaseException) -> SvcError:
    if isinstance(error, SvcError) and error.disposition is Disposition.RETRY:
        return error
    raise error


def _report(name: str, error: SvcError, delay_s: float, *, is_repeat: bool) -> None:
    # Once per change of state: the same trouble again is news to nobody.
    write = log.debug if is_repeat else log.warning
    write("loop.interrupted", loop=name, code=error.code, reason=str(error), retry_in_s=delay_s)


async def _drain(tasks: Iterable[asyncio.Task[NoReturn]], limit: timedelta) -> None:
    """Cancel what runs and wait for it; cut what is still busy after ``limit``."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + limit.total_seconds()
    running = {task for task in tasks if not task.done()}
    while running and (left := deadline - clock()) > 0:
        for task in running:
            # A second cancel would interrupt the clean-up that a failing sibling already set off;
            # but a time-out of the task's own may have swallowed the first, so look again.
            if not task.cancelling():
                task.cancel()
        _, running = await asyncio.wait(running, timeout=min(left, _LOOK_AGAIN_S))
    for task in running:
        log.error("loop.drain_exceeded", loop=task.get_name(), drain_s=limit.total_seconds())
        task.cancel()


def _gravest(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error in the group that no retry can mend, else simply the first."""
    errors = list(_leaves(failures))
    return next((error for error in errors if not _is_retryable(error)), errors[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, SvcError) and error.disposition is Disposition.RETRY
