"""Short profiles are known as long as anybody uses them, and not for longer."""

from svc_core.domain.profiles import PROFILES
from tests.chaos.short_profiles import BRIEF, short_profiles


def test_who_asks_second_takes_nothing_away_from_the_first() -> None:
    assert BRIEF.name not in PROFILES
    with short_profiles():
        with short_profiles():
            assert PROFILES[BRIEF.name] is BRIEF
        assert PROFILES[BRIEF.name] is BRIEF
    assert BRIEF.name not in PROFILES
