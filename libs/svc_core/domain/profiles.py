"""Profiles: named presets of the two schedules, and the times derived from them.

The algebra of lifetimes is checked here, at load, so that no combination of settings can make a
certificate outlive its issuer or a key vanish while messages under it are still welcome.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from svc_core.domain.epochs import EpochSchedule

_BACKDATE_MARGIN: Final = timedelta(seconds=60)
_LEAST_ROOT_PERIODS: Final = 8


@dataclass(frozen=True, slots=True)
class RotationProfile:
    """The one truth about every period, lifetime and tolerance of a deployment."""

    name: str
    keys: EpochSchedule
    ca: EpochSchedule
    root_periods: int = 360
    """For how many CA periods one root signs intermediates before another one does."""

    def __post_init__(self) -> None:
        if self.leaf_ttl < timedelta(seconds=10):
            raise ValueError(
                f"profile {self.name!r} leaves {self.leaf_ttl} for a leaf certificate; "
                "10 s is the least: lengthen the CA period"
            )
        if self.root_periods < _LEAST_ROOT_PERIODS:
            raise ValueError(
                f"profile {self.name!r} lets a root sign for {self.root_periods} CA periods; "
                f"{_LEAST_ROOT_PERIODS} is the least, so that no more than two roots are trusted"
            )

    @property
    def skew(self) -> timedelta:
        """Tolerated difference between any two clocks: a quarter CA period, at most 5 min."""
        return min(timedelta(minutes=5), self.ca.period / 4)

    @property
    def backdate(self) -> timedelta:
        """How far before "now" certificates start to be valid."""
        return self.skew + _BACKDATE_MARGIN

    @property
    def leaf_ttl(self) -> timedelta:
        """Lifetime of a leaf: half of what the issuer's life leaves room for."""
        return (self.ca.validity - self.ca.period - self.ca.lead - self.skew) / 2

    @property
    def root_period(self) -> timedelta:
        """How long one root signs intermediates."""
        return self.root_periods * self.ca.period

    @property
    def root_validity(self) -> timedelta:
        """Lifetime of a root: four times the time it signs, as everywhere."""
        return 4 * self.root_period

    @property
    def activation_jitter(self) -> timedelta:
        """Window over which leaves are renewed after an activation."""
        return self.ca.period / 40

    @property
    def heartbeat(self) -> timedelta:
        """How often an instance says its status: a twentieth of the CA period, 1 to 15 s."""
        return min(max(self.ca.period / 20, timedelta(seconds=1)), timedelta(seconds=15))

    @property
    def liveness(self) -> timedelta:
        """How old a status may be while its instance still counts as live."""
        return 3 * self.heartbeat

    @property
    def control_freshness(self) -> timedelta:
        """How old a control message may be."""
        return 2 * self.skew + timedelta(seconds=30)

    @property
    def drain_budget(self) -> timedelta:
        """How long connections may stay on a predecessor before they are kicked."""
        return self.ca.period / 4


def _schedule(period: timedelta) -> EpochSchedule:
    return EpochSchedule(period=period, validity=4 * period)


PROFILES: Final = {
    profile.name: profile
    for profile in (
        RotationProfile(
            "demo",
            keys=_schedule(timedelta(seconds=20)),
            ca=_schedule(timedelta(seconds=30)),
            root_periods=10,
        ),
        RotationProfile(
            "soak",
            keys=_schedule(timedelta(seconds=20)),
            ca=_schedule(timedelta(seconds=20)),
            root_periods=10,
        ),
        RotationProfile(
            "testing",
            keys=_schedule(timedelta(minutes=15)),
            ca=_schedule(timedelta(minutes=20)),
            root_periods=72,
        ),
        RotationProfile(
            "production", keys=_schedule(timedelta(hours=3)), ca=_schedule(timedelta(hours=6))
        ),
    )
}
"""The presets by name, with the periods of keys, CA and root: ``demo`` 20 s, 30 s and 5 min,
``soak`` 20 s, 20 s and 200 s, ``testing`` 15 min, 20 min and a day, ``production`` 3 h, 6 h and 90
days."""
