"""Every case of sleep and of skew, and which of them a run of the suite takes: one that is quick.

``CHAOS_SEED`` draws another; ``CHAOS_ALL=1`` takes all of them, which is an hour.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

import pytest
from _pytest.mark.structures import ParameterSet

from devstack.layout import SERVICES
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    GATEKEEPER,
    METADATA,
    WATCHER,
    ServiceName,
)
from tests.chaos.naps import EVERYTHING, How, Nap
from tests.chaos.selection import ALL, NOT_DRAWN, selected
from tests.chaos.short_profiles import SKEWED
from tests.chaos.skews import Skew
from tests.chaos.starts import MOMENTS, Beginning

C = TypeVar("C")

FROZEN: Final = [
    Nap(who, How.FROZEN, epochs)
    for who in (METADATA, GATEKEEPER, WATCHER, EVERYTHING)
    for epochs in (1, 3, 5, 50)
]
ENDED: Final = [Nap(who, How.ENDED, 5) for who in (METADATA, GATEKEEPER, WATCHER)]
OVERNIGHT: Final = [Nap(EVERYTHING, How.ENDED, epochs) for epochs in (5, 50)]
AT_AN_ACTIVATION: Final = [Nap(WATCHER, How.ENDED, 1)]
BEGINNINGS: Final = [
    Beginning(service, moment) for service in (GATEKEEPER, AUTHCONTROLLER) for moment in MOMENTS
]
_PARTIES: Final[Sequence[tuple[ServiceName, ...]]] = (*((name,) for name in SERVICES), SERVICES)
SKEWS: Final = [
    Skew(who, sign * SKEWED.skew, is_step=is_step)
    for is_step in (False, True)
    for who in _PARTIES
    for sign in (-1, 1)
]
QUICK: Final = [*(nap for nap in FROZEN if nap.epochs == 1), *BEGINNINGS]
SAMPLE: Final = 1


def drawn(cases: Sequence[C]) -> list[ParameterSet]:
    """Return those of ``cases`` that are drawn."""
    chosen = [str(case) for case in selected(QUICK, SAMPLE)]
    found = [pytest.param(c, id=str(c)) for c in cases if ALL or str(c) in chosen]
    return found or [pytest.param(cases[0], marks=NOT_DRAWN, id="not drawn")]
