"""What was seen before, what is repeated, what is forgotten."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.replay import ReplayWindow, Verdict
from svc_core.errors import ReplayWindowFullError
from tests.builders import NOW

SECOND = timedelta(seconds=1)
KEY = (GATEKEEPER, "m-1")
LATER = NOW + timedelta(hours=1)


def test_a_first_delivery_is_new() -> None:
    assert ReplayWindow().begin(KEY, NOW) is Verdict.NEW


def test_a_delivery_whose_work_did_not_end_is_processed_again() -> None:
    window = ReplayWindow()
    window.begin(KEY, NOW)

    assert window.begin(KEY, NOW + SECOND) is Verdict.PENDING


def test_a_delivery_whose_work_is_done_is_not() -> None:
    window = ReplayWindow()
    window.begin(KEY, NOW)
    window.finish(KEY, NOW, LATER)

    assert window.begin(KEY, NOW + SECOND) is Verdict.DONE


def test_an_id_is_unique_per_signer_only() -> None:
    window = ReplayWindow()
    window.finish(KEY, NOW, LATER)

    assert window.begin((AUTHCONTROLLER, "m-1"), NOW) is Verdict.NEW


def test_done_work_of_an_earlier_life_can_be_restored() -> None:
    window = ReplayWindow()
    window.finish(KEY, NOW, LATER)

    assert window.begin(KEY, NOW) is Verdict.DONE


def test_done_work_is_forgotten_once_the_message_would_be_refused_anyway() -> None:
    window = ReplayWindow()
    window.finish(KEY, NOW, LATER)

    window.prune(LATER)

    assert len(window) == 0


def test_done_work_that_is_past_already_is_not_remembered() -> None:
    window = ReplayWindow()
    window.begin(KEY, NOW)
    window.finish(KEY, LATER, LATER)

    assert len(window) == 0


def test_begun_work_that_nobody_ended_is_forgotten_in_the_end() -> None:
    window = ReplayWindow(pending_for=SECOND)
    window.begin(KEY, NOW)

    assert window.begin(KEY, NOW + SECOND) is Verdict.NEW


def test_finishing_outlives_the_pending_entry() -> None:
    window = ReplayWindow(pending_for=SECOND)
    window.begin(KEY, NOW)
    window.finish(KEY, NOW, LATER)

    assert window.begin(KEY, NOW + 2 * SECOND) is Verdict.DONE


def test_done_work_is_remembered_as_long_as_the_last_copy_of_its_message_is_good() -> None:
    window = ReplayWindow()
    window.finish(KEY, NOW, LATER)
    resealed_until = LATER + SECOND

    assert window.begin(KEY, NOW, keep_until=resealed_until) is Verdict.DONE

    assert window.begin(KEY, LATER) is Verdict.DONE
    assert window.begin(KEY, resealed_until) is Verdict.NEW


@pytest.mark.parametrize("sooner", [NOW, NOW + SECOND])
def test_an_earlier_copy_does_not_shorten_the_memory_of_done_work(sooner: datetime) -> None:
    window = ReplayWindow()
    window.finish(KEY, NOW, LATER)

    window.finish(KEY, NOW, sooner)
    window.begin(KEY, NOW, keep_until=sooner)

    assert window.begin(KEY, LATER - SECOND) is Verdict.DONE
    assert window.begin(KEY, LATER) is Verdict.NEW


def test_work_that_ends_leaves_nothing_of_its_beginning_behind() -> None:
    window = ReplayWindow(pending_for=timedelta(days=1))
    for number in range(100):
        at = NOW + number * SECOND
        window.begin((GATEKEEPER, str(number)), at)
        window.finish((GATEKEEPER, str(number)), at, at + SECOND)

    assert len(window) == 1
    assert sum(map(len, (window._pending, window._done, window._expiries))) == 2


def test_a_refused_message_takes_no_room() -> None:
    window = ReplayWindow()
    window.begin(KEY, NOW)

    window.forget(KEY)

    assert len(window) == 0


def test_done_work_cannot_be_dropped_as_refused() -> None:
    window = ReplayWindow()
    window.finish(KEY, NOW, LATER)

    window.forget(KEY)

    assert window.begin(KEY, NOW) is Verdict.DONE


def test_a_full_window_asks_to_slow_down_rather_than_forget() -> None:
    window = ReplayWindow(capacity=1)
    window.finish(KEY, NOW, LATER)

    with pytest.raises(ReplayWindowFullError):
        window.begin((GATEKEEPER, "m-2"), NOW)
    assert window.begin(KEY, NOW) is Verdict.DONE


def test_a_full_window_has_room_again_after_the_freshness_window() -> None:
    window = ReplayWindow(capacity=1)
    window.finish(KEY, NOW, LATER)

    assert window.begin((GATEKEEPER, "m-2"), LATER) is Verdict.NEW


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "finish", "forget"]), st.integers(0, 5), st.integers(0, 9)
        ),
        max_size=60,
    )
)
def test_done_is_never_done_twice_within_its_window(steps: list[tuple[str, int, int]]) -> None:
    window, now = ReplayWindow(pending_for=3 * SECOND), NOW
    done_until: dict[int, datetime] = {}
    for verb, number, seconds in steps:
        now += SECOND
        key, until = (GATEKEEPER, str(number)), now + seconds * SECOND
        done_until = {n: at for n, at in done_until.items() if at > now}
        if verb == "begin":
            is_done = window.begin(key, now, keep_until=until) is Verdict.DONE
            assert is_done == (number in done_until)
        elif verb == "finish":
            window.finish(key, now, until)
        else:
            window.forget(key)
        if verb == "finish" or (verb == "begin" and number in done_until):
            done_until[number] = max(until, done_until.get(number, until))
