"""The last few errors that interrupted a loop, for whoever asks how this process is."""

from collections import deque
from typing import Final

from svc_core.errors import SvcError
from svc_core.ports.time import Clock

_KEPT: Final = 20


class RecentErrors:
    """Remembers the last twenty; the same trouble again only counts up and moves to the end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: deque[dict[str, object]] = deque(maxlen=_KEPT)

    def note(self, loop: str, error: SvcError) -> None:
        """Remember that ``error`` interrupted the loop of that name."""
        entry: dict[str, object] = {"loop": loop, "code": error.code, "reason": str(error)}
        times = 1
        for former in self._kept:
            if all(former[key] == entry[key] for key in entry):
                times += int(str(former["times"]))
                self._kept.remove(former)
                break
        self._kept.append(entry | {"times": times, "at": self._clock.now().isoformat()})

    def as_document(self) -> list[dict[str, object]]:
        """Return them, the newest last: ``{"loop", "code", "reason", "times", "at"}``."""
        return [dict(entry) for entry in self._kept]
