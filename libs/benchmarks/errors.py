"""What can keep a benchmark from giving figures."""

from svc_core.errors import SvcError


class WorkerEndedError(SvcError):
    """A process that measures ended before it was told to."""

    code = "benchmark.worker_ended"
    advice = "what it wrote above says why; free some memory if it says nothing"

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(f"a measuring process ended with exit code {exit_code}")
        self.exit_code = exit_code
