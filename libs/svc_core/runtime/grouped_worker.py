"""`GroupedWorker`: many small jobs, few hops between the event loop and a worker thread.

Self-clocked: what queues while one group is being worked on is the next group. An idle worker
starts at once, or after a few turns of the event loop, so nothing waits for a timer; a busy one
pays one hop for up to ``limit`` jobs. Who submits while the queue is full waits, and when too many
wait is refused.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from svc_core.errors import OverloadedError

In = TypeVar("In")
Out = TypeVar("Out")

GROUP_LIMIT: Final = 64
QUEUE_LIMIT: Final = 1024
WAITING_LIMIT: Final = 4096
_CLOSED: Final = "the worker is closed"


def each(function: Callable[[In], Out]) -> Callable[[Sequence[In]], list[Out | Exception]]:
    """Return a function over a group that applies ``function`` to each job on its own.

    A job's exception becomes its result, so that it reaches the one who submitted it.
    """

    def work(jobs: Sequence[In]) -> list[Out | Exception]:
        return [_attempt(function, job) for job in jobs]

    return work


def _attempt(function: Callable[[In], Out], job: In) -> Out | Exception:
    try:
        return function(job)
    except Exception as err:  # noqa: BLE001 (handed on to whoever submitted the job)
        return err


@dataclass(frozen=True, slots=True)
class Grouping:
    """How jobs become groups."""

    limit: int = GROUP_LIMIT
    """Most jobs of one group."""
    lanes: int = 1
    """Most groups at work at a time; with more than one, groups stay smaller."""
    turns: int = 0
    """How many turns of the event loop a group that is not full waits for more jobs.

    A turn of an idle loop takes microseconds; one of a busy loop brings more jobs, so that groups
    grow when they are needed.
    """


class GroupedWorker(Generic[In, Out]):
    """Runs groups in ``executor``, as many at a time as it has lanes; used from one event loop.

    Leaving the context fails what is still queued and waits for the groups at work.
    """

    def __init__(
        self,
        function: Callable[[Sequence[In]], Sequence[Out | Exception]],
        executor: Executor,
        grouping: Grouping = Grouping(),
        *,
        queue_limit: int = QUEUE_LIMIT,
        waiting_limit: int = WAITING_LIMIT,
    ) -> None:
        """Make a worker.

        Args:
            function: called in a worker thread with one group of jobs; one result per job.
            executor: where it runs; not owned.
            grouping: how groups form.
            queue_limit: most jobs queued or at work; more wait in `submit`.
            waiting_limit: most that wait there; more are refused.
        """
        self._function = function
        self._executor = executor
        self._grouping = grouping
        self._queue: deque[tuple[In, asyncio.Future[Out]]] = deque()
        self._room = asyncio.Semaphore(queue_limit)
        self._waiting = 0
        self._waiting_limit = waiting_limit
        self._is_beginning = False
        self._at_work: set[asyncio.Future[Sequence[Out | Exception]]] = set()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_closed = True
        _fail([result for _, result in self._queue], RuntimeError(_CLOSED))
        self._queue.clear()
        if self._at_work:
            await asyncio.wait(self._at_work)

    async def submit(self, job: In) -> Out:
        """Return the result of ``job``, or raise its exception.

        Cancelled while queued, the job is dropped; cancelled while at work, its result is.

        Raises:
            OverloadedError: the queue is full and ``waiting_limit`` others wait for room.
            RuntimeError: the worker is closed.
        """
        await self.enter()
        try:
            return await self.work(job)
        finally:
            self.leave()

    async def enter(self) -> None:
        """Take a place in the queue before the job is made, so that none is made in vain.

        Raises:
            OverloadedError: the queue is full and ``waiting_limit`` others wait for room.
        """
        if not self._room.locked():
            await self._room.acquire()
            return
        if self._waiting >= self._waiting_limit:
            raise OverloadedError(f"{self._waiting} jobs already wait for room")
        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        """Give back the place that `enter` took."""
        self._room.release()

    async def work(self, job: In) -> Out:
        """Return the result of ``job``, between `enter` and `leave`; see `submit`."""
        if self._is_closed:
            raise RuntimeError(_CLOSED)
        result: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._queue.append((job, result))
        self._begin()
        return await result

    def _begin(self) -> None:
        """Start what can be started, unless more may come in the turns a group waits for."""
        if not self._grouping.turns or len(self._queue) >= self._grouping.limit:
            self._start_groups()
        elif self._queue and not self._is_beginning and len(self._at_work) < self._grouping.lanes:
            self._is_beginning = True
            self._turn(self._grouping.turns)

    def _turn(self, left: int) -> None:
        if left:
            asyncio.get_running_loop().call_soon(self._turn, left - 1)
            return
        self._is_beginning = False
        self._start_groups()

    def _start_groups(self) -> None:
        while self._queue and len(self._at_work) < self._grouping.lanes:
            self._start_group()
        # As many full groups again may wait in the executor, so that no thread idles between two.
        while (
            len(self._queue) >= self._grouping.limit
            and len(self._at_work) < 2 * self._grouping.lanes
        ):
            self._start_group()

    def _start_group(self) -> None:
        group: list[tuple[In, asyncio.Future[Out]]] = []
        while self._queue and len(group) < self._grouping.limit:
            job, result = self._queue.popleft()
            if not result.done():
                group.append((job, result))
        if not group:
            return
        results = [result for _, result in group]
        try:
            work = asyncio.get_running_loop().run_in_executor(
                self._executor, self._function, [job for job, _ in group]
            )
        except RuntimeError as err:  # the executor has been shut down
            _fail(results, err)
            return
        self._at_work.add(work)
        work.add_done_callback(lambda done: self._finish_group(results, done))

    def _finish_group(
        self,
        results: list[asyncio.Future[Out]],
        done: asyncio.Future[Sequence[Out | Exception]],
    ) -> None:
        self._at_work.discard(done)
        if done.cancelled():
            _fail(results, RuntimeError(_CLOSED))
        elif (err := done.exception()) is not None:
            _fail(results, err)
        else:
            _deliver(results, done.result())
        self._begin()


def _fail(results: Sequence[asyncio.Future[Out]], err: BaseException) -> None:
    for result in results:
        if not result.done():
            result.set_exception(err)


def _deliver(results: Sequence[asyncio.Future[Out]], outcomes: Sequence[Out | Exception]) -> None:
    if len(outcomes) != len(results):
        _fail(results, RuntimeError("a group gave another number of results than it had jobs"))
        return
    for result, outcome in zip(results, outcomes, strict=True):
        if isinstance(outcome, Exception):
            _fail([result], outcome)
        elif not result.done():
            result.set_result(outcome)
