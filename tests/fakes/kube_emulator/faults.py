"""Trouble on order."""

from dataclasses import dataclass, field
from datetime import timedelta

from tests.fakes.kube_emulator.answers import ApiStatusError


@dataclass(slots=True)
class _Planned:
    verb: str
    resource: str
    error: ApiStatusError
    times: int


@dataclass(slots=True)
class Faults:
    """What the next requests meet."""

    latency: timedelta = timedelta(0)
    """Every request is answered this much later."""
    gone_watches: int = 0
    """So many watches are told 410 as their first event."""
    dropped_watches: int = 0
    """Counts up when all open watches are cut; see `Emulator.drop_watches`."""
    _planned: list[_Planned] = field(default_factory=list)

    def fail(self, verb: str, resource: str, error: ApiStatusError, *, times: int = 1) -> None:
        """Answer the next ``times`` requests of that kind with ``error``."""
        self._planned.append(_Planned(verb, resource, error, times))

    @property
    def left(self) -> int:
        """How many planned failures nobody has met yet."""
        return sum(planned.times for planned in self._planned)

    def meet(self, verb: str, resource: str) -> None:
        """Raise the failure that is planned for this request, if any."""
        for planned in self._planned:
            if (planned.verb, planned.resource) == (verb, resource) and planned.times:
                planned.times -= 1
                raise planned.error
