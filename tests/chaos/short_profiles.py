"""Profiles with short periods, so that fifty of them can be waited for.

A leaf lives 1.25 CA periods and at least 10 s, so a period has at least 8 s. As in ``demo`` a root
signs for ten of them and lives for forty: who sleeps through fifty wakes up to a root that is over.

Where clocks differ the period has to be longer. Heartbeats are a twentieth of it in every profile
that is meant for use, and a second at the least: only from 12 s on is a quarter of it, which clocks
may be apart, longer than the three heartbeats for which anybody may be silent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from svc_core.domain.epochs import EpochSchedule
from svc_core.domain.profiles import PROFILES, RotationProfile


def _profile(name: str, period: timedelta) -> RotationProfile:
    schedule = EpochSchedule(period, 4 * period)
    return RotationProfile(name, keys=schedule, ca=schedule, root_periods=10)


BRIEF: Final = _profile("brief", timedelta(seconds=8))
"""For sleep: the shortest there can be."""
SKEWED: Final = _profile("skewed", timedelta(seconds=16))
"""For clocks that differ, by 4 s at the most."""


@contextmanager
def short_profiles() -> Iterator[None]:
    """Have this process know them meanwhile; no other test is to meet them.

    Who asks while they are known has them for no longer than the first who asked.
    """
    added = {p.name: p for p in (BRIEF, SKEWED) if p.name not in PROFILES}
    PROFILES.update(added)
    try:
        yield
    finally:
        for name in added:
            del PROFILES[name]
