"""When a connection is stranded: its server answers pings, but nothing published there is stored.

A server that is cut off from its peers keeps its clients. What they publish is not acknowledged,
since no majority hears of it, while the other servers go on. Whoever hears nothing for a while
tries another server with the same message, and moves only when that one acknowledges it: if the
whole cluster has no majority, nobody moves at all.

Times are seconds of the caller's own monotonic clock.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Self

_FORGOTTEN_S: Final = 60.0


class Stranding(Enum):
    """How a server did not take what was published."""

    SILENCE = "silence"
    """No answer in time."""
    NOBODY = "no_responders"
    """It knows nobody who stores messages of this topic."""
    REFUSAL = "refusal"
    """JetStream answered that it cannot now."""
    ALONE = "alone"
    """Most of the other servers are not heard through it."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Attempts on one topic since the last that was acknowledged."""

    reason: Stranding
    """Of the latest."""
    since: float
    """When the first of them was sent."""
    latest: float
    """When the latest of them was found to have failed."""

    def followed_by(self, other: "Silence") -> "Silence":
        """Return this silence with one more attempt; one that is long past does not count.

        Nothing may have been published meanwhile, so that nobody knows whether it went on.
        """
        if other.latest - self.latest > _FORGOTTEN_S:
            return other
        return replace(other, since=min(self.since, other.since))


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a silence lasts before another server is tried, and how seldom that is repeated."""

    first_s: float
    """Of silence before the first try."""
    longest_s: float
    """Pause between tries at most; they double up to it."""

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.longest_s:
            raise ValueError(f"want 0 < first <= longest, got {self.first_s}, {self.longest_s}")

    def after(self, tries: int) -> float:
        """Return the longest pause after so many tries in a row, at least one, in seconds."""
        return min(self.first_s * math.pow(2.0, min(tries - 1, 32)), self.longest_s)


@dataclass(frozen=True, slots=True)
class Tries:
    """How often another server was tried in a row, whatever came of it."""

    count: int = 0
    latest: float = -math.inf
    next_from: float = -math.inf
    """There is none before that."""

    def and_one(self, now: float, patience: Patience, *, draw: float) -> Self:
        """Return these tries and one more, now.

        Two of the longest pauses without a try end the row.

        Args:
            now: when.
            patience: how long the pauses are.
            draw: from 0 to 1; the pause is drawn from its upper half, so that the clients of one
                server do not all come back in the same instant.
        """
        count = 1 if now - self.latest > 2 * patience.longest_s else self.count + 1
        pause = patience.after(count) * (0.5 + draw / 2)
        return type(self)(count, now, now + pause)


def plan_try(
    silences: Mapping[str, Silence], tries: Tries, *, now: float, patience: Patience
) -> str | None:
    """Return the topic with which another server should be tried now, or None.

    It is the one that has been silent longest. Others may be acknowledged meanwhile: a server can
    be cut off from the leader of one stream only.
    """
    if not silences or now < tries.next_from:
        return None
    topic = min(silences, key=lambda name: silences[name].since)
    return topic if now - silences[topic].since >= patience.first_s else None
