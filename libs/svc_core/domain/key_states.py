"""The states of a topic key: what it may be used for at one instant.

```
            its epoch begins           the epoch ends, or a          four periods after
                                       newer generation is here      its epoch began
   STAGED ─────────────────► PRIMARY ─────────────────► DECRYPT_ONLY ─────────────► DESTROYED
   opens                     seals, opens               opens                       nothing
```

No state is stored: each follows from the key's own two instants, the clock, and whether a newer
generation of the same epoch is known. So nobody has to move a key on at a boundary, a process that
slept through one finds every key where it belongs, and as time goes on states only move forward
(steps may be skipped: an older generation is never PRIMARY).

*STAGED opens.* Receivers pick a key by its id, never by the clock, so a peer whose clock is ahead
may use the next epoch's key before this side's clock gets there. How far ahead is bounded
elsewhere, by the time each message says it was made: not after "now" plus the tolerated skew.

*DECRYPT_ONLY ends sharp.* A message is fresh for as long as its key is valid, so a key is good for
exactly four periods, without grace: whatever was sealed in this epoch or the three before it opens,
nothing older does. The skew costs the oldest messages that much of their time and no others.
"""

from datetime import datetime
from enum import Enum
from typing import Final

PERIODS_OF_LIFE: Final = 4
"""A key is valid for four periods, the first of which is its own epoch (see `EpochSchedule`)."""
SEALING_PERIODS: Final = 3
"""Limit by age: a key seals in its own epoch and, without the authority, in the two after it.

One period of its life is left then, more than the tolerated skew, so every receiver still opens
what was sealed last.
"""


class KeyState(Enum):
    """What a topic key may be used for; in the order in which a key passes through them."""

    STAGED = "staged"
    """Its epoch has not begun: it opens what a faster clock sealed, and never seals."""
    PRIMARY = "primary"
    """The newest generation of the current epoch: the one key of its topic that seals."""
    DECRYPT_ONLY = "decrypt_only"
    """Older, or superseded within its epoch, and valid: it opens.

    The newest generation seals on for at most two epochs while no newer key can be had.
    """
    DESTROYED = "destroyed"
    """Its validity is over, or it is not in the ring any more: it does nothing."""


def state_at(
    now: datetime, *, not_before: datetime, not_after: datetime, is_newest: bool
) -> KeyState:
    """Return the state of one key at ``now``.

    Args:
        now: wall time of whoever holds the key.
        not_before: when the key's epoch begins; part of its life.
        not_after: four periods later; not part of its life.
        is_newest: no later generation of the same topic and epoch is known.
    """
    if now < not_before:
        return KeyState.STAGED
    if now >= not_after:
        return KeyState.DESTROYED
    epoch_end = not_before + (not_after - not_before) / PERIODS_OF_LIFE
    return KeyState.PRIMARY if is_newest and now < epoch_end else KeyState.DECRYPT_ONLY


def is_young_enough_to_seal(now: datetime, *, not_before: datetime, not_after: datetime) -> bool:
    """Say whether the age of a key lets it seal at ``now``: begun, and within three periods.

    Only PRIMARY seals as a matter of course; the other two periods are the fallback of a time
    without the authority.
    """
    life = not_after - not_before
    return not_before <= now < not_before + life * SEALING_PERIODS / PERIODS_OF_LIFE
