"""What was published over one link and is not acknowledged, by topic: evidence that it is stranded.

As long as everything is acknowledged nothing is written down here, so publishing pays for it only
when something is wrong.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

from svc_core.domain.stranding import Silence

L = TypeVar("L")
M = TypeVar("M")


class Unacknowledged(Generic[L, M]):
    """Silences of the link in use, and a message for each with which another one can be tried.

    ``L`` is a link and ``M`` a message; neither is looked into.
    """

    def __init__(self) -> None:
        """Begin with nothing amiss."""
        self._link: L | None = None
        self._silences: dict[str, Silence] = {}
        self._under_way: dict[str, M] = {}

    def over(self, link: L) -> Mapping[str, Silence]:
        """Return the silences of ``link`` by topic; only of topics with a message under way."""
        if link is not self._link:
            return {}
        return {t: s for t, s in self._silences.items() if t in self._under_way}

    def is_silent(self, link: L, topic: str) -> bool:
        """Say whether nothing was acknowledged over ``link`` since ``topic`` fell silent."""
        return link is self._link and topic in self._silences

    def message_of(self, topic: str) -> M | None:
        """Return a message of ``topic`` that is under way, or None."""
        return self._under_way.get(topic)

    def begun(self, topic: str, message: M) -> None:
        """Note an attempt."""
        if topic in self._silences:
            self._under_way[topic] = message

    def failed(self, topic: str, message: M, link: L, silence: Silence) -> None:
        """Note an attempt over ``link`` that was not acknowledged."""
        if link is not self._link:
            self._link = link
            self._silences.clear()
            self._under_way.clear()
        former = self._silences.get(topic)
        self._silences[topic] = silence if former is None else former.followed_by(silence)
        self._under_way[topic] = message

    def acknowledged(self, topic: str) -> None:
        """Note that a stream answered."""
        if self._silences:
            self._silences.pop(topic, None)
            self._under_way.pop(topic, None)

    def ended(self, topic: str, message: M) -> None:
        """Note that nobody waits for ``message`` any more, whatever became of it."""
        if self._under_way.get(topic) is message:
            del self._under_way[topic]
