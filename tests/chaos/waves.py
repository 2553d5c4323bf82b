"""Which points strike together: a wave is what happens to all services within about one rotation.

Each service has its own points, so a wave strikes all of them; Metadata has two lanes, since keys
and issuers are made by clocks of their own. Points of one lane are spread over the rotation.
Waves of the root strike within one change of it, which has to be ordered.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER, ServiceName
from tests.chaos.crash_points import POINTS, CrashPoint, Phase

Lane = tuple[ServiceName, tuple[Phase, ...]]

LANES: Final[tuple[Lane, ...]] = (
    (METADATA, (Phase.ROTATION,)),
    (METADATA, (Phase.KEYS,)),
    (WATCHER, (Phase.ROTATION,)),
    (GATEKEEPER, (Phase.ROTATION, Phase.KEYS, Phase.TRAFFIC)),
    (AUTHCONTROLLER, (Phase.ROTATION, Phase.KEYS, Phase.TRAFFIC)),
)
ROOT_LANE: Final[Lane] = (METADATA, (Phase.ROOTS,))
ONCE_WAVES: Final = 6
AGAIN_WAVES: Final = 10
ROOT_ONCE_WAVES: Final = 3
ROOT_AGAIN_WAVES: Final = 5


@dataclass(frozen=True, slots=True)
class Wave:
    """Orders for every service that dies in it."""

    name: str
    orders: Mapping[ServiceName, Sequence[Sequence[str]]]
    """Lanes of labels by service."""

    @property
    def labels(self) -> list[str]:
        """Every label, as often as it strikes."""
        return [label for lanes in self.orders.values() for lane in lanes for label in lane]


def all_waves() -> list[Wave]:
    """Return waves that strike at every point once, and at every point again and again."""
    once = _waves("once", LANES, ONCE_WAVES, _once)
    return [*once, *_waves("again", LANES, AGAIN_WAVES, _again)]


def root_waves(*, again: bool = True) -> list[Wave]:
    """Return waves that strike so at every point of a change of the root, or only once at each."""
    once = _waves("root-once", [ROOT_LANE], ROOT_ONCE_WAVES, _once)
    return [*once, *_waves("root-again", [ROOT_LANE], ROOT_AGAIN_WAVES, _again)] if again else once


def sampled_wave(seed: int) -> Wave:
    """Return one wave of six points, the same one for the same seed.

    One of every lane, and one more for Metadata while it recovers.
    """
    random = Random(seed)  # noqa: S311 (repeats, no secret)
    orders: dict[ServiceName, list[list[str]]] = {}
    for lane in LANES:
        drawn = random.choice(_points_of(lane))
        orders.setdefault(lane[0], []).append([drawn.label])
    orders[METADATA][0].append(random.choice(_starts_of(METADATA)).label)
    return Wave(f"seed-{seed}", orders)


Labels = Callable[[CrashPoint, int], list[str]]


def _waves(name: str, lanes: Sequence[Lane], count: int, labels: Labels) -> list[Wave]:
    return [_wave(f"{name}-{n + 1}", lanes, n, count, labels) for n in range(count)]


def _wave(name: str, lanes: Sequence[Lane], number: int, of: int, labels: Labels) -> Wave:
    orders: dict[ServiceName, list[list[str]]] = {}
    for lane in lanes:
        mine = enumerate(_points_of(lane)[number::of])
        queue = [label for place, point in mine for label in labels(point, number + place)]
        orders.setdefault(lane[0], []).append(queue)
    return Wave(name, orders)


def _once(point: CrashPoint, _number: int) -> list[str]:
    return [point.label]


def _again(point: CrashPoint, number: int) -> list[str]:
    """Die at the same point twice where that is possible, and in the recovery from it."""
    starts = _starts_of(point.service)
    first = starts[number % len(starts)].label
    second = starts[(number + 1) % len(starts)].label
    if point.recurs:
        return [point.label, point.label, first]
    return [point.label, first, second]


def _points_of(lane: Lane) -> list[CrashPoint]:
    service, phases = lane
    return [point for point in POINTS if point.service == service and point.phase in phases]


def _starts_of(service: ServiceName) -> list[CrashPoint]:
    return _points_of((service, (Phase.START,)))
