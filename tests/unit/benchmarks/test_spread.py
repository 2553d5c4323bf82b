"""Percentiles of what was measured, and the spread over repeats."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.spread import Spread, percentile

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=50)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        pytest.param([7], 0.99, 7, id="one value is every percentile"),
        pytest.param([3, 1, 2], 0.5, 2, id="the median of an odd number"),
        pytest.param([4, 1, 2, 3], 0.5, 2.5, id="the median of an even number"),
        pytest.param([10, 20], 0.0, 10, id="the least"),
        pytest.param([10, 20], 1.0, 20, id="the most"),
        pytest.param([10, 20], 0.9, 19, id="between neighbours"),
    ],
)
def test_a_percentile(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == pytest.approx(expected)


@given(VALUES)
def test_percentiles_agree_with_the_standard_library(values: list[float]) -> None:
    expected = statistics.quantiles(values, n=100, method="inclusive")

    assert [percentile(values, n / 100) for n in range(1, 100)] == pytest.approx(expected)


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


@pytest.mark.parametrize("share", [-0.1, 1.1, 99])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        percentile([1.0], share)


def test_the_spread_says_median_percentiles_and_ends() -> None:
    spread = Spread.of([5.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0])

    assert spread == Spread(median=6, p10=2, p90=10, least=1, most=11)
