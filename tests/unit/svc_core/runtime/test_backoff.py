from datetime import timedelta
from itertools import islice

import pytest

from svc_core.runtime.backoff import Backoff


def seconds(backoff: Backoff, count: int) -> list[float]:
    return [delay.total_seconds() for delay in islice(backoff, count)]


def test_delays_double_up_to_the_most_and_stay_there() -> None:
    backoff = Backoff(timedelta(seconds=1), timedelta(seconds=5))

    assert seconds(backoff, 5) == [1, 2, 4, 5, 5]


def test_each_iteration_starts_afresh() -> None:
    backoff = Backoff(timedelta(seconds=1), timedelta(seconds=8))

    seconds(backoff, 3)

    assert seconds(backoff, 2) == [1, 2]


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        pytest.param(b"\x00\x00\x00\x00", [2, 4, 4], id="lowest draw: half the delay"),
        pytest.param(b"\x80\x00\x00\x00", [3, 6, 6], id="middle draw: three quarters"),
    ],
)
def test_entropy_spreads_a_delay_over_its_upper_half(draw: bytes, expected: list[float]) -> None:
    backoff = Backoff(timedelta(seconds=4), timedelta(seconds=8), entropy=lambda _size: draw)

    assert seconds(backoff, 3) == expected


def test_the_highest_draw_stays_below_the_whole_delay() -> None:
    backoff = Backoff(
        timedelta(seconds=4), timedelta(seconds=4), entropy=lambda size: b"\xff" * size
    )

    assert 3.99 < seconds(backoff, 1)[0] <= 4


@pytest.mark.parametrize(
    ("first", "most"),
    [
        pytest.param(0, 1, id="no delay at all"),
        pytest.param(-1, 1, id="negative"),
        pytest.param(2, 1, id="first above most"),
    ],
)
def test_senseless_delays_are_refused(first: int, most: int) -> None:
    with pytest.raises(ValueError, match="first <= most"):
        Backoff(timedelta(seconds=first), timedelta(seconds=most))
