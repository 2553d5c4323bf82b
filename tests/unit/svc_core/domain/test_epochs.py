from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.epochs import UNIX_EPOCH, Epoch, EpochSchedule

QUARTER = timedelta(minutes=15)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
instants = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (hypothesis takes naive bounds)
periods = st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=30))


def schedule(period: timedelta = QUARTER) -> EpochSchedule:
    return EpochSchedule(period=period, validity=4 * period)


def test_epoch_zero_began_in_1970() -> None:
    assert Epoch.at(UNIX_EPOCH, period=QUARTER) == Epoch(0)
    assert Epoch(0).start(period=QUARTER) == UNIX_EPOCH


@pytest.mark.parametrize(
    ("after_noon", "steps"),
    [
        pytest.param(timedelta(0), 0, id="the first instant belongs to the epoch"),
        pytest.param(QUARTER - timedelta(microseconds=1), 0, id="so does the last"),
        pytest.param(QUARTER, 1, id="the boundary belongs to the next"),
        pytest.param(timedelta(microseconds=-1), -1, id="the instant before to the last one"),
    ],
)
def test_boundaries(after_noon: timedelta, steps: int) -> None:
    noon = Epoch.at(NOON, period=QUARTER)

    assert Epoch.at(NOON + after_noon, period=QUARTER).number == noon.number + steps


def test_an_epoch_before_1970_does_not_exist() -> None:
    with pytest.raises(ValueError, match=">= 0, got -1"):
        Epoch(-1)


def test_epochs_are_ordered_and_print_as_their_number() -> None:
    assert Epoch(7).next() > Epoch(7)
    assert str(Epoch(7).next()) == "8"


@given(instants, periods)
def test_every_instant_is_in_exactly_one_epoch(now: datetime, period: timedelta) -> None:
    epoch = Epoch.at(now, period=period)

    assert epoch.start(period=period) <= now < epoch.start(period=period) + period


@pytest.mark.parametrize(
    ("period", "validity"),
    [
        pytest.param(timedelta(0), timedelta(0), id="no period"),
        pytest.param(-QUARTER, -4 * QUARTER, id="negative"),
        pytest.param(QUARTER, 3 * QUARTER, id="validity of three periods"),
        pytest.param(QUARTER, 5 * QUARTER, id="validity of five periods"),
    ],
)
def test_senseless_schedules_are_refused(period: timedelta, validity: timedelta) -> None:
    with pytest.raises(ValueError, match="period"):
        EpochSchedule(period=period, validity=validity)


@pytest.mark.parametrize(
    ("period", "lead"),
    [
        pytest.param(timedelta(seconds=20), timedelta(seconds=5), id="a quarter"),
        pytest.param(timedelta(minutes=20), timedelta(minutes=5), id="a quarter that is the most"),
        pytest.param(timedelta(hours=6), timedelta(minutes=5), id="at most five minutes"),
    ],
)
def test_the_lead(period: timedelta, lead: timedelta) -> None:
    assert schedule(period).lead == lead


def test_the_successor_is_due_from_the_lead_on() -> None:
    plan = schedule()
    noon = plan.current(NOON)
    lead = NOON + QUARTER - plan.lead

    assert plan.due(lead - timedelta(microseconds=1)) == noon
    assert plan.due(lead) == noon.next()
    assert plan.current(lead) == noon


def test_what_is_made_for_an_epoch_lives_four_periods_from_its_start() -> None:
    plan = schedule()
    noon = plan.current(NOON)

    assert plan.starts(noon) == NOON
    assert plan.expires(noon) == NOON + 4 * QUARTER


@given(instants, periods)
def test_the_last_four_epochs_are_always_alive(now: datetime, period: timedelta) -> None:
    plan = schedule(period)
    current = plan.current(now).number

    alive = [n for n in range(max(0, current - 5), current + 1) if plan.expires(Epoch(n)) > now]

    assert alive == list(range(max(0, current - 3), current + 1))
