from datetime import timedelta

import pytest

from svc_core.domain.epochs import EpochSchedule
from svc_core.domain.profiles import PROFILES, RotationProfile


def profile(ca_period: timedelta) -> RotationProfile:
    schedule = EpochSchedule(period=ca_period, validity=4 * ca_period)
    return RotationProfile("sample", keys=schedule, ca=schedule)


@pytest.mark.parametrize(
    ("name", "keys", "ca"),
    [
        ("demo", timedelta(seconds=20), timedelta(seconds=30)),
        ("soak", timedelta(seconds=20), timedelta(seconds=20)),
        ("testing", timedelta(minutes=15), timedelta(minutes=20)),
        ("production", timedelta(hours=3), timedelta(hours=6)),
    ],
)
def test_the_presets(name: str, keys: timedelta, ca: timedelta) -> None:
    preset = PROFILES[name]

    assert (preset.name, preset.keys.period, preset.ca.period) == (name, keys, ca)


@pytest.mark.parametrize("preset", PROFILES.values(), ids=PROFILES)
class TestAlgebra:
    def test_a_leaf_made_at_the_last_moment_ends_before_its_issuer(
        self, preset: RotationProfile
    ) -> None:
        active_for_the_longest = preset.ca.period + preset.ca.lead + preset.skew

        assert active_for_the_longest + preset.leaf_ttl <= preset.ca.validity

    def test_certificates_are_valid_for_a_clock_that_lags_by_the_skew(
        self, preset: RotationProfile
    ) -> None:
        assert preset.backdate > preset.skew

    def test_a_heartbeat_can_be_missed_twice(self, preset: RotationProfile) -> None:
        assert preset.liveness == 3 * preset.heartbeat
        assert preset.liveness < preset.ca.period

    def test_a_predecessor_is_drained_before_the_next_one_comes(
        self, preset: RotationProfile
    ) -> None:
        assert preset.activation_jitter + preset.drain_budget < preset.ca.period


@pytest.mark.parametrize(
    ("period", "skew", "heartbeat"),
    [
        pytest.param(timedelta(seconds=30), 7.5, 1.5, id="demo: shares of the period"),
        pytest.param(timedelta(seconds=12), 3, 1, id="a heartbeat takes at least 1 s"),
        pytest.param(timedelta(minutes=20), 300, 15, id="skew of 5 min and 15 s at most"),
        pytest.param(timedelta(hours=6), 300, 15, id="however long the period"),
    ],
)
def test_derived_times(period: timedelta, skew: float, heartbeat: float) -> None:
    derived = profile(period)

    assert derived.skew == timedelta(seconds=skew)
    assert derived.backdate == timedelta(seconds=skew + 60)
    assert derived.control_freshness == timedelta(seconds=2 * skew + 30)
    assert derived.heartbeat == timedelta(seconds=heartbeat)


def test_the_lifetimes_of_the_demo() -> None:
    demo = PROFILES["demo"]

    assert demo.leaf_ttl == timedelta(seconds=37.5)
    assert demo.activation_jitter == timedelta(seconds=0.75)
    assert demo.drain_budget == timedelta(seconds=7.5)


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("demo", timedelta(minutes=5)),
        ("soak", timedelta(seconds=200)),
        ("testing", timedelta(days=1)),
        ("production", timedelta(days=90)),
    ],
)
def test_a_root_signs_for_many_periods_and_lives_four_times_as_long(
    name: str, period: timedelta
) -> None:
    preset = PROFILES[name]

    assert (preset.root_period, preset.root_validity) == (period, 4 * period)
    # The last issuer it signs on time ends long before it does.
    assert preset.root_period + 2 * preset.ca.validity < preset.root_validity


def test_a_root_that_would_be_the_third_one_trusted_is_refused() -> None:
    period = timedelta(minutes=20)
    schedule = EpochSchedule(period=period, validity=4 * period)

    with pytest.raises(ValueError, match="8 is the least"):
        RotationProfile("sample", keys=schedule, ca=schedule, root_periods=7)


def test_a_period_too_short_for_leaves_is_refused() -> None:
    with pytest.raises(ValueError, match="lengthen the CA period"):
        profile(timedelta(seconds=7))
