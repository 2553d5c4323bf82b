"""Runs an async context manager in a thread with a loop of its own, for fixtures of a session.

pytest enters and leaves an async fixture in different tasks, which task groups cannot bear, and
its loop stands still between tests, which supervised children cannot.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def in_background(open_it: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """Yield what ``open_it()`` yields, entered and left in one task of another thread."""
    opened: Future[tuple[T, Callable[[], None]]] = Future()

    async def hold() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        async with open_it() as value:

            def end() -> None:
                loop.call_soon_threadsafe(stop.set)

            opened.set_result((value, end))
            await stop.wait()

    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(hold())
        except BaseException as err:  # noqa: BLE001 (handed to the thread that waits)
            failures.append(err)
            if not opened.done():
                opened.set_exception(err)

    thread = threading.Thread(target=run, name="background")
    thread.start()
    try:
        value, end = opened.result()
    except BaseException:
        thread.join()
        raise
    try:
        yield value
    finally:
        end()
        thread.join()
        if failures:
            raise failures[0]


def complete(work: Callable[[], Awaitable[None]]) -> None:
    """Run ``work()`` to its end in another thread; a loop of this thread would outlive it."""

    async def run() -> None:
        await work()

    with ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, run()).result()
