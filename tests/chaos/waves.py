"""Which points strike together: a wave is what happens to all services within about one rotation.

Each service has its own points, so a wave strikes all of them; Metadata has two lanes, since keys
and issuers are made by clocks of their own. Points of one lane are spread over the rotation.
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
ONCE_WAVES: Final = 6
AGAIN_WAVES: Final = 10


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
    once = [_wave(f"once-{n + 1}", n, ONCE_WAVES, _once) for n in range(ONCE_WAVES)]
    again = [_wave(f"again-{n + 1}", n, AGAIN_WAVES, _again) for n in range(AGAIN_WAVES)]
    return [*once, *again]


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


def _wave(name: str, number: int, of: int, labels: Labels) -> Wave:
    orders: dict[ServiceName, list[list[str]]] = {}
    for lane in LANES:
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
