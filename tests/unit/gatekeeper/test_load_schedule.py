"""When requests are sent, skipped and over: from time alone."""

from datetime import UTC, datetime, timedelta

import pytest

from services.gatekeeper.domain.load_schedule import Finish, Send, Skip, Wait, plan_next
from svc_core.domain.load_order import LoadOrder, decode, encode
from svc_core.errors import MalformedMessageError

START = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = LoadOrder("run", 10.0, START, START + timedelta(seconds=60))


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("index", "now", "step"),
    [
        pytest.param(0, -2.0, Wait(timedelta(seconds=2)), id="before the start"),
        pytest.param(0, 0.0, Send(after(0)), id="due now"),
        pytest.param(5, 0.45, Wait(timedelta(seconds=0.05)), id="due soon"),
        pytest.param(5, 1.4, Send(after(0.5)), id="late, but sent"),
        pytest.param(5, 1.5, Send(after(0.5)), id="late by exactly a second"),
        pytest.param(5, 3.5, Skip(30), id="later than a second: go on with what is due now"),
        pytest.param(598, 99.0, Skip(2), id="woke up after the end"),
        pytest.param(600, 60.0, Finish(), id="everything was sent"),
    ],
)
def test_what_to_do_about_the_next_request(
    index: int, now: float, step: Wait | Send | Skip | Finish
) -> None:
    assert plan_next(ORDER, index, now=after(now)) == step


@pytest.mark.parametrize(
    ("now", "index"), [(-5, 0), (0, 0), (0.01, 1), (0.1, 1), (30, 300), (59.95, 600)]
)
def test_a_restarted_sender_goes_on_where_the_clock_is(now: float, index: int) -> None:
    assert ORDER.index_at(after(now)) == index


def test_an_order_survives_its_file() -> None:
    assert decode(encode(ORDER)) == ORDER


def test_a_rate_of_zero_is_no_load() -> None:
    assert decode('{"rate": 0}') is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="no object"),
        pytest.param('{"rate": 1}', id="fields missing"),
        pytest.param(encode(ORDER).replace("+00:00", ""), id="no time zone"),
        pytest.param(encode(ORDER).replace("10.0", "-1"), id="negative rate"),
        pytest.param(encode(ORDER).replace("10.0", "1e9"), id="rate without measure"),
        pytest.param(encode(ORDER).replace("10.0", "NaN"), id="rate is no number"),
        pytest.param(encode(ORDER).replace('"run"', '"a b\\t"'), id="illegal run id"),
        pytest.param("[" * 100_000, id="nested without end"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessageError):
        decode(text)
