"""Hints: live messages that only wake a loop; nothing in them is acted on."""

from svc_core.domain.identity import Subject
from svc_core.ports.bus import Bus
from svc_core.runtime.wakeup import Wakeup


class HintListener:
    """The loop that turns messages on one subject into wake-ups."""

    def __init__(self, name: str, bus: Bus, topic: Subject, wakeup: Wakeup) -> None:
        self._name = name
        self._bus = bus
        self._topic = topic
        self._wakeup = wakeup

    @property
    def name(self) -> str:
        """The loop's name."""
        return self._name

    async def run(self) -> None:
        """Listen for ever."""
        await self._bus.listen(self._topic, lambda _payload: self._wakeup.set())
