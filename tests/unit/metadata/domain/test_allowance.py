"""No more tries than allowed, however time is cut into pieces."""

from hypothesis import given
from hypothesis import strategies as st

from services.metadata.domain.allowance import Allowance


@given(st.lists(st.floats(0, 5), max_size=60))
def test_never_more_than_the_burst_and_what_came_back(pauses: list[float]) -> None:
    allowance, now, taken = Allowance(4, 2.0), 0.0, 0
    for pause in pauses:
        now += pause
        taken += allowance.take(now)
        assert taken <= 4 + 2.0 * now + 1e-6


def test_all_at_once_then_one_after_the_other() -> None:
    allowance = Allowance(3, 0.5)

    assert [allowance.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not allowance.take(101.9)
    assert allowance.take(102.0)
    assert not allowance.take(102.0)
