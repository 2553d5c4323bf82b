"""Children under supervision, restarted when they die and ended together.

Each runs in a session of its own. They are ended in order, whatever happens to the supervisor: a
child never outlives a supervisor that was killed, unless the stack was asked to be kept.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from devstack.children import CANNOT_START, Child, Program
from devstack.errors import StuckProcessError
from devstack.process_ids import ProcessId, wait_for_exit
from devstack.registry import RegisteredChild, Registry
from svc_core.errors import SvcError

Announce = Callable[[str], None]

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_FIRST_DELAY_S: Final = 0.2
_HEALTHY_SPELL_S: Final = 30.0
_AFTER_KILL: Final = timedelta(seconds=1)


class Supervisor:
    """Starts children, restarts those that die, ends all of them."""

    def __init__(
        self, registry: Registry, group: asyncio.TaskGroup, *, keep: bool, announce: Announce
    ) -> None:
        self._registry = registry
        self._group = group
        self._keep = keep
        self._announce = announce
        self._children: dict[str, Child] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._attending: list[asyncio.Task[None]] = []

    @property
    def children(self) -> Mapping[str, Child]:
        """Every child by name, in order of their start."""
        return self._children

    def start(self, program: Program) -> Child:
        """Start ``program`` and watch over it.

        Raises:
            OSError: it could not be started, or not be written down.
        """
        child = self._children[program.name] = self._spawn(program)
        self._watches[program.name] = self._group.create_task(self._watch(child))
        return child

    async def stop(self, name: str) -> None:
        """End one child and forget it."""
        child = self._children[name]
        await self._end([child])
        self._watches.pop(name).cancel()
        del self._children[name]

    def attend(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` beside the children until they are ended; it must not return."""
        self._attending.append(self._group.create_task(work))

    def kill(self, name: str, number: int) -> None:
        """Send a signal to one child; if it dies of it, it is restarted."""
        self._children[name].process.send(number, to_group=False)

    def leave_running(self) -> None:
        """Stop watching; the children live on without this process."""
        self._stop_watching()
        for child in self._children.values():
            # Popen would warn about a child that is still running when it is forgotten.
            child.popen.returncode = 0

    async def stop_all(self) -> None:
        """End every child, highest stage first, each stage together.

        Raises:
            StuckProcessError: one did not even die of SIGKILL.
        """
        self._stop_watching()
        try:
            for stage in sorted({c.program.stage for c in self._children.values()}, reverse=True):
                await self._end([c for c in self._children.values() if c.program.stage == stage])
        except asyncio.CancelledError:
            # Asked to hurry: nothing may be left behind all the same.
            for child in self._children.values():
                child.process.send(signal.SIGKILL, to_group=True)
            raise

    def _stop_watching(self) -> None:
        for task in (*self._watches.values(), *self._attending):
            task.cancel()

    async def _end(self, children: list[Child]) -> None:
        for child in children:
            child.is_wanted = False
            child.process.send(signal.SIGTERM, to_group=True)
        await _wait_for_all(children, max(c.program.stop_within for c in children))
        stubborn = [child for child in children if child.is_running]
        for child in stubborn:
            self._announce(f"{child.program.name} did not stop in time, killing it")
            child.process.send(signal.SIGKILL, to_group=True)
        await _wait_for_all(stubborn, _AFTER_KILL)
        if stuck := [child.program.name for child in stubborn if child.is_running]:
            raise StuckProcessError(f"did not end even when killed: {', '.join(stuck)}")

    async def _watch(self, child: Child) -> None:
        delay_s = _FIRST_DELAY_S
        while True:
            await wait_for_exit(child.pid, expected=child.process)
            child.last_exit = child.popen.wait()
            if not child.is_wanted:
                return
            if child.last_exit == CANNOT_START:
                child.is_wanted = False
                self._announce(f"{child.program.name} cannot start as it is configured")
                return
            if self._now() - child.started > _HEALTHY_SPELL_S:
                delay_s = _FIRST_DELAY_S
            self._announce(f"{child.program.name} ended ({_reason(child.last_exit)}), restarting")
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, child.program.longest_pause.total_seconds())
            await self._restart(child)

    async def _restart(self, child: Child) -> None:
        fresh = self._spawn(child.program)
        child.popen, child.process, child.started = fresh.popen, fresh.process, fresh.started
        child.restarts += 1
        if child.program.after_restart is None:
            return
        try:
            await _while_alive(child.process, child.program.after_restart)
        except* SvcError as errors:
            reason = errors.exceptions[0]
            self._announce(f"{child.program.name} is not usable after its restart: {reason}")
            child.process.send(signal.SIGKILL, to_group=True)

    def _spawn(self, program: Program) -> Child:
        account = f"{program.account.user}:{program.account.group}" if program.account else "-"
        tie = "free" if self._keep else "tie"
        launcher = (sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), tie, account)
        with program.log_file.open("ab") as log:
            popen = subprocess.Popen(
                [*launcher, *program.argv],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=program.directory,
                env=dict(program.environment),
                start_new_session=True,
            )
        try:
            process = ProcessId.of(popen.pid)
            self._registry.add(RegisteredChild(program.name, program.stage, process))
            _tell_to_go(popen)
        except BaseException:
            popen.kill()
            popen.wait()
            raise
        finally:
            _close_input(popen)
        return Child(program, popen, process, started=self._now())

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def open_supervisor(
    registry: Registry, *, keep: bool, announce: Announce
) -> AsyncIterator[Supervisor]:
    """Yield a supervisor whose children are all ended at the end, within ten seconds.

    Args:
        registry: where the children are written down.
        keep: leave the children running when the body ends well; an error or a cancellation ends
            them all the same.
        announce: told in a sentence what happens to children.
    """
    try:
        async with asyncio.TaskGroup() as group:
            supervisor = Supervisor(registry, group, keep=keep, announce=announce)
            try:
                yield supervisor
            except BaseException:
                await supervisor.stop_all()
                registry.close()
                raise
            if keep:
                supervisor.leave_running()
                registry.keep()
                return
            await supervisor.stop_all()
            registry.close()
    except BaseExceptionGroup as errors:
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _while_alive(process: ProcessId, work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work``, or give it up when ``process`` ends: it could only fail, and late."""

    async def working() -> None:
        await work()

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(working()),
            group.create_task(wait_for_exit(process.pid, expected=process)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _wait_for_all(children: list[Child], within: timedelta) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within.total_seconds()):
            for child in children:
                if child.is_running:
                    await wait_for_exit(child.pid, expected=child.process)
                    child.last_exit = child.popen.wait()


def _tell_to_go(popen: subprocess.Popen[bytes]) -> None:
    if popen.stdin is not None:
        # A launcher that is gone already shows by its exit, not here.
        with suppress(BrokenPipeError):
            os.write(popen.stdin.fileno(), b"g")


def _close_input(popen: subprocess.Popen[bytes]) -> None:
    if popen.stdin is not None:
        popen.stdin.close()


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
