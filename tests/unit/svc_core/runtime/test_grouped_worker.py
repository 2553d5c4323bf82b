"""Groups form by themselves, results find their submitters, nothing hangs."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from svc_core.errors import OverloadedError
from svc_core.runtime.grouped_worker import GroupedWorker, Grouping, each
from tests.builders import ManualExecutor


class Recorder:
    """Doubles each job and remembers the groups it was given."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []

    def __call__(self, jobs: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(jobs))
        return [ValueError("thirteen") if job == 13 else 2 * job for job in jobs]


async def turn() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_idle_worker_starts_at_once_and_what_queues_meanwhile_is_the_next_group() -> None:
    executor, record = ManualExecutor(), Recorder()
    async with GroupedWorker(record, executor) as worker, asyncio.TaskGroup() as tasks:
        results = [tasks.create_task(worker.submit(job)) for job in range(5)]
        await turn()
        executor.run_next()
        await turn()
        executor.run_next()

    assert record.groups == [[0], [1, 2, 3, 4]]
    assert [task.result() for task in results] == [0, 2, 4, 6, 8]


async def test_a_group_has_at_most_the_limit() -> None:
    executor, record = ManualExecutor(), Recorder()
    async with GroupedWorker(record, executor, Grouping(2)) as worker, asyncio.TaskGroup() as tasks:
        for job in range(5):
            tasks.create_task(worker.submit(job))
        for _ in range(3):
            await turn()
            executor.run_next()

    assert record.groups == [[0], [1, 2], [3, 4]]


async def test_an_exception_reaches_the_submitter_of_its_job_only() -> None:
    executor, record = ManualExecutor(), Recorder()
    async with GroupedWorker(record, executor) as worker, asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.submit(1))
        good = tasks.create_task(worker.submit(2))
        bad = tasks.create_task(expect_error(worker, 13))
        for _ in range(2):
            await turn()
            executor.run_next()

    assert (good.result(), bad.result()) == (4, "thirteen")


async def expect_error(worker: GroupedWorker[int, int], job: int) -> str:
    """Return the text of the error that ``job`` ends with."""
    with pytest.raises((ValueError, RuntimeError)) as caught:
        await worker.submit(job)
    return str(caught.value)


async def test_a_function_that_fails_as_a_whole_fails_all_its_jobs_and_the_worker_goes_on() -> None:
    calls = iter([ValueError("broken"), None])

    def work(jobs: Sequence[int]) -> list[int | Exception]:
        if (err := next(calls)) is not None:
            raise err
        return list(jobs)

    executor = ManualExecutor()
    async with GroupedWorker(work, executor) as worker, asyncio.TaskGroup() as tasks:
        failed = tasks.create_task(expect_error(worker, 1))
        await turn()
        executor.run_next()
        await turn()
        passed = tasks.create_task(worker.submit(2))
        await turn()
        executor.run_next()

    assert (failed.result(), passed.result()) == ("broken", 2)


async def test_a_wrong_number_of_results_fails_the_group_rather_than_hang_it() -> None:
    def forget(jobs: Sequence[int]) -> list[int | Exception]:
        del jobs
        return []

    executor = ManualExecutor()
    async with GroupedWorker(forget, executor) as worker, asyncio.TaskGroup() as tasks:
        failed = tasks.create_task(expect_error(worker, 1))
        await turn()
        executor.run_next()

    assert "number of results" in failed.result()


async def test_a_submitter_that_left_the_queue_is_not_worked_for() -> None:
    executor, record = ManualExecutor(), Recorder()
    async with GroupedWorker(record, executor) as worker, asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.submit(1))
        leaving = tasks.create_task(worker.submit(2))
        tasks.create_task(worker.submit(3))
        await turn()
        leaving.cancel()
        for _ in range(2):
            executor.run_next()
            await turn()

    assert record.groups == [[1], [3]]


async def test_a_submitter_that_leaves_during_the_work_disturbs_nobody() -> None:
    executor, record = ManualExecutor(), Recorder()
    async with GroupedWorker(record, executor) as worker, asyncio.TaskGroup() as tasks:
        leaving = tasks.create_task(worker.submit(1))
        staying = tasks.create_task(worker.submit(2))
        await turn()
        leaving.cancel()
        for _ in range(2):
            await turn()
            executor.run_next()

    assert staying.result() == 4


async def test_a_full_queue_makes_submitters_wait() -> None:
    executor, record = ManualExecutor(), Recorder()
    worker = GroupedWorker(record, executor, queue_limit=2)
    async with worker, asyncio.TaskGroup() as tasks:
        for job in range(4):
            tasks.create_task(worker.submit(job))
        for _ in range(4):
            await turn()
            if executor.waiting:
                executor.run_next()

    assert record.groups == [[0], [1], [2], [3]]


async def test_leaving_waits_for_the_work_and_fails_the_queue() -> None:
    executor, record = ManualExecutor(), Recorder()
    async with asyncio.TaskGroup() as tasks, GroupedWorker(record, executor) as worker:
        finished = tasks.create_task(worker.submit(1))
        queued = tasks.create_task(expect_error(worker, 2))
        await turn()
        asyncio.get_running_loop().call_soon(executor.run_next)

    assert (finished.result(), queued.result()) == (2, "the worker is closed")
    with pytest.raises(RuntimeError, match="closed"):
        await worker.submit(3)


async def test_an_executor_that_was_shut_down_fails_the_job() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    async with GroupedWorker(Recorder(), executor) as worker:
        assert "shutdown" in await expect_error(worker, 1)


async def test_an_executor_that_drops_its_work_fails_the_jobs_and_strands_nobody() -> None:
    dropped: Future[list[int | Exception]] = Future()

    class Dropping(ManualExecutor):
        def submit(self, *_args: object, **_kwargs: object) -> Future[Any]:
            return dropped

    async with GroupedWorker(Recorder(), Dropping()) as worker, asyncio.TaskGroup() as tasks:
        failed = tasks.create_task(expect_error(worker, 1))
        await turn()
        dropped.cancel()

    assert failed.result() == "the worker is closed"


async def test_a_group_that_fails_while_its_submitter_leaves_disturbs_nobody() -> None:
    def fail(jobs: Sequence[int]) -> list[int | Exception]:
        raise ValueError(str(jobs))

    executor = ManualExecutor()
    async with GroupedWorker(fail, executor) as worker, asyncio.TaskGroup() as tasks:
        leaving = tasks.create_task(worker.submit(1))
        await turn()
        leaving.cancel()
        await turn()
        executor.run_next()

    assert leaving.cancelled()


async def test_jobs_run_one_by_one_in_a_real_thread() -> None:
    def invert(job: int) -> float:
        return 1 / job

    with ThreadPoolExecutor(1) as executor:
        async with GroupedWorker(each(invert), executor) as worker:
            assert await worker.submit(4) == 0.25
            with pytest.raises(ZeroDivisionError):
                await worker.submit(0)


async def test_with_two_lanes_two_groups_are_at_work_at_a_time() -> None:
    executor, record = ManualExecutor(), Recorder()
    async with (
        GroupedWorker(record, executor, Grouping(2, lanes=2)) as worker,
        asyncio.TaskGroup() as tasks,
    ):
        results = [tasks.create_task(worker.submit(job)) for job in range(5)]
        await turn()
        executor.run_next()
        executor.run_next()
        await turn()
        executor.run_next()
        executor.run_next()

    assert record.groups == [[0], [1], [2, 3], [4]]
    assert [task.result() for task in results] == [0, 2, 4, 6, 8]


async def test_who_comes_when_too_many_wait_is_refused_and_the_others_are_not() -> None:
    executor, record = ManualExecutor(), Recorder()
    async with (
        GroupedWorker(record, executor, queue_limit=2, waiting_limit=1) as worker,
        asyncio.TaskGroup() as tasks,
    ):
        results = [tasks.create_task(worker.submit(job)) for job in range(3)]
        await turn()
        with pytest.raises(OverloadedError):
            await worker.submit(3)
        for _ in range(3):
            executor.run_next()
            await turn()

    assert [task.result() for task in results] == [0, 2, 4]


async def test_a_group_that_is_not_full_waits_some_turns_for_those_who_are_about_to_come() -> None:
    executor, record = ManualExecutor(), Recorder()
    patient = Grouping(turns=3)
    async with GroupedWorker(record, executor, patient) as worker, asyncio.TaskGroup() as tasks:
        for job in range(3):
            tasks.create_task(worker.submit(job))
            await asyncio.sleep(0)
        await turn()
        tasks.create_task(worker.submit(3))
        executor.run_next()
        await asyncio.sleep(0)
        tasks.create_task(worker.submit(4))
        await turn()
        executor.run_next()

    assert record.groups == [[0, 1, 2], [3, 4]]


async def test_a_full_group_waits_for_nobody() -> None:
    executor, record = ManualExecutor(), Recorder()
    patient = Grouping(2, turns=1000)
    async with GroupedWorker(record, executor, patient) as worker, asyncio.TaskGroup() as tasks:
        for job in range(2):
            tasks.create_task(worker.submit(job))
        await turn()
        executor.run_next()

    assert record.groups == [[0, 1]]


async def test_closing_fails_what_waits_for_its_group_and_starts_nothing() -> None:
    executor, record = ManualExecutor(), Recorder()
    async with asyncio.TaskGroup() as tasks:
        async with GroupedWorker(record, executor, Grouping(turns=3)) as worker:
            failed = tasks.create_task(expect_error(worker, 1))
            await asyncio.sleep(0)
        await turn()

    assert failed.result() == "the worker is closed"
    assert not executor.waiting
