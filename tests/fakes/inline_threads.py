"""Worker threads without threads, so that virtual time stands still while they work."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class InlineThreads(ThreadPoolExecutor):
    """A loop's default executor that runs each job at once, in the caller's thread."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run ``fn`` and return its outcome."""
        done: Future[R] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as err:  # noqa: BLE001 (an executor hands every exception on)
            done.set_exception(err)
        return done
