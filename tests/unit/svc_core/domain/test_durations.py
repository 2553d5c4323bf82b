from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("20s", 20),
        ("15m", 900),
        ("1.5h", 5400),
        ("14d", 1_209_600),
        (" 20 s ", 20),
        ("PT20M", 1200),
        ("PT1H30M", 5400),
        ("PT0.5S", 0.5),
        ("P1D", 86400),
        ("P1DT1S", 86401),
        ("0s", 0),
    ],
)
def test_what_people_write(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


def test_a_timedelta_is_itself() -> None:
    assert parse_duration(timedelta(minutes=3)) == timedelta(minutes=3)


@pytest.mark.parametrize("value", [5, 5.0, None, True, ["20s"]])
def test_what_has_no_unit_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="with its unit"):
        parse_duration(value)


@pytest.mark.parametrize("text", ["", "20", "-1s", "20 x", "P", "PT", "20s 5m", "1e3s", "T20M"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        assert parse_duration(text) >= timedelta(0)
    except ValueError:
        return
