"""When another server is tried, how seldom, and with which topic."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.stranding import Patience, Silence, Stranding, Tries, plan_try

PATIENCE = Patience(first_s=3.0, longest_s=60.0)
NONE = Tries()


def silent(since: float, latest: float, reason: Stranding = Stranding.SILENCE) -> Silence:
    return Silence(reason, since, latest)


@pytest.mark.parametrize(
    ("silences", "now", "expected"),
    [
        pytest.param({}, 100.0, None, id="everything is acknowledged"),
        pytest.param({"t": silent(10, 11)}, 12.9, None, id="not for long"),
        pytest.param({"t": silent(10, 11)}, 13.0, "t", id="for too long"),
        pytest.param(
            {"t": silent(12, 13), "u": silent(10, 13)}, 14.0, "u", id="the longest of several"
        ),
    ],
)
def test_another_server_is_tried_after_a_while(
    silences: dict[str, Silence], now: float, expected: str | None
) -> None:
    assert plan_try(silences, NONE, now=now, patience=PATIENCE) == expected


def test_a_silence_counts_from_its_first_attempt_and_says_its_last_reason() -> None:
    first, later = silent(10, 11), silent(12, 13, Stranding.NOBODY)

    assert first.followed_by(later) == silent(10, 13, Stranding.NOBODY)


def test_an_attempt_that_is_long_past_says_nothing_about_now() -> None:
    later = silent(100, 101)

    assert silent(10, 11).followed_by(later) == later


def test_pauses_between_tries_double_up_to_the_longest() -> None:
    tries, pauses = NONE, []
    for _ in range(8):
        now = max(tries.next_from, 0.0)
        tries = tries.and_one(now, PATIENCE, draw=1.0)
        pauses.append(tries.next_from - now)

    assert pauses == [3, 6, 12, 24, 48, 60, 60, 60]


def test_before_the_pause_is_over_nothing_is_tried() -> None:
    tries = NONE.and_one(13.0, PATIENCE, draw=1.0)
    silences = {"t": silent(10, 15)}

    assert plan_try(silences, tries, now=15.9, patience=PATIENCE) is None
    assert plan_try(silences, tries, now=16.0, patience=PATIENCE) == "t"


def test_two_longest_pauses_without_a_try_end_the_row() -> None:
    tries = Tries(count=5, latest=1000.0, next_from=1060.0)

    assert tries.and_one(1120.0, PATIENCE, draw=0.0).count == 6
    assert tries.and_one(1120.1, PATIENCE, draw=0.0).count == 1


def test_the_pause_is_drawn_from_its_upper_half() -> None:
    least, most = (NONE.and_one(0.0, PATIENCE, draw=d).next_from for d in (0.0, 1.0))

    assert (least, most) == (1.5, 3)


@pytest.mark.parametrize(("first", "longest"), [(0, 1), (-1, 1), (2, 1), (math.nan, 1)])
def test_a_patience_that_makes_no_sense_is_refused(first: float, longest: float) -> None:
    with pytest.raises(ValueError, match="want 0 < first"):
        Patience(first, longest)


@given(draws=st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_a_silence_without_end_costs_about_one_try_a_minute(draws: list[float]) -> None:
    tries, now, count = NONE, 0.0, 0
    silences = {"t": silent(0, 0)}
    for draw in draws:
        now = max(tries.next_from, PATIENCE.first_s)
        assert plan_try(silences, tries, now=now, patience=PATIENCE) == "t"
        tries = tries.and_one(now, PATIENCE, draw=draw)
        count += 1

    assert count <= 6 + now / 30
