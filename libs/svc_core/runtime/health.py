"""Whether this process does its work: each loop has succeeded within its own budget.

Liveness is simply that the event loop answers. Readiness is what this module counts: a loop says
`Health.beat` after each success, and is well while its last success is younger than its budget.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from svc_core.ports.time import Clock


@dataclass(frozen=True, slots=True)
class LoopHealth:
    """How one loop is."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class HealthReport:
    """How this process is, loop by loop."""

    ready: bool
    loops: Mapping[str, LoopHealth]

    def as_document(self) -> dict[str, object]:
        """Return the body of ``/readyz``: ``{"ready": …, "loops": {name: {"ok", "detail"}}}``."""
        loops = {name: {"ok": loop.ok, "detail": loop.detail} for name, loop in self.loops.items()}
        return {"ready": self.ready, "loops": loops}


@dataclass(slots=True)
class _Watched:
    budget_s: float
    last_beat: float | None = None
    detail: str = "has not succeeded yet"


class Health:
    """The last success of every loop, against a clock that never steps."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loops: dict[str, _Watched] = {}

    def expect(self, name: str, budget: timedelta) -> None:
        """Require that the loop ``name`` succeeds at least once per ``budget``."""
        watched = self._loops.setdefault(name, _Watched(0.0))
        watched.budget_s = budget.total_seconds()

    def beat(self, name: str, detail: str = "") -> None:
        """Note a success of ``name``; a loop that nothing is expected of is not counted."""
        if watched := self._loops.get(name):
            watched.last_beat, watched.detail = self._clock.monotonic(), detail

    def fail(self, name: str, detail: str) -> None:
        """Note why ``name`` does not succeed; it stays well until its budget is used up."""
        if watched := self._loops.get(name):
            watched.detail = detail

    def report(self) -> HealthReport:
        """Return the present state; ready only when something is expected and all of it is well."""
        now = self._clock.monotonic()
        loops = {name: self._judge(watched, now) for name, watched in self._loops.items()}
        return HealthReport(bool(loops) and all(loop.ok for loop in loops.values()), loops)

    @staticmethod
    def _judge(watched: _Watched, now: float) -> LoopHealth:
        if watched.last_beat is None:
            return LoopHealth(ok=False, detail=watched.detail)
        age = now - watched.last_beat
        if age <= watched.budget_s:
            return LoopHealth(ok=True, detail=watched.detail)
        late = f"last succeeded {age:.1f} s ago, budget {watched.budget_s:.1f} s"
        detail = f"{late}; {watched.detail}" if watched.detail else late
        return LoopHealth(ok=False, detail=detail)
