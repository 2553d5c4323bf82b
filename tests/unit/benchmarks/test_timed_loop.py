"""An operation is counted until its time is over, in chunks that grow."""

from dataclasses import dataclass

import pytest

from benchmarks.timed_loop import TimedLoop


@dataclass
class Work:
    """An operation that takes ``cost_s`` of a clock of its own."""

    cost_s: float
    now_s: float = 0.0
    times: int = 0
    clock_reads: int = 0

    def __call__(self) -> None:
        self.now_s += self.cost_s
        self.times += 1

    def clock(self) -> float:
        self.clock_reads += 1
        return self.now_s


@pytest.mark.parametrize("cost_s", [1e-6, 1e-4, 1e-2, 5.0])
def test_every_operation_is_counted(cost_s: float) -> None:
    work = Work(cost_s)

    done = TimedLoop(work, work.clock).run(1.0)

    assert done.count == work.times
    assert done.timed_s == pytest.approx(work.times * cost_s)
    assert done.timed_s >= 1.0


def test_a_slow_operation_is_never_repeated_past_the_end() -> None:
    work = Work(0.3)

    assert TimedLoop(work, work.clock).run(1.0).count == 4


def test_the_clock_is_not_read_for_every_quick_operation() -> None:
    work = Work(1e-6)

    TimedLoop(work, work.clock).run(1.0)

    assert work.clock_reads < work.times / 500


def test_the_end_is_missed_by_a_millisecond_at_most() -> None:
    work = Work(1e-6)
    loop = TimedLoop(work, work.clock)
    loop.run(1.0)

    assert loop.run(0.1).timed_s == pytest.approx(0.1, abs=0.001)
