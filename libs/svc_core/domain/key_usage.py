"""The limit by message count: how often a topic key has sealed, and when that is enough.

The limit by age is `svc_core.domain.key_states`'s. Counts are those of one process since it began:
they are not shared between instances and not kept over a restart, which the bound below has ample
room for.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from svc_core.domain.identity import Subject
from svc_core.domain.keys import TopicKey
from svc_core.errors import KeyExhaustedError

MESSAGES_PER_KEY: Final = 2**32
"""Most messages one process seals with one topic key.

Each message is sealed under a key of its own, derived with a fresh 256-bit salt, and a random
96-bit IV; AES-GCM fails only if both repeat. By the birthday bound that happens among q messages
with probability below q**2 / 2**353: 2**-289 for q = 2**32, and still 2**-249 if 2**20 processes
use the same key up to the limit. A salt alone repeats with probability below 2**-193. The largest
term is GCM's own distance from random over 2**32 messages of at most 2**12 blocks (64 KiB), each
under its own key: about 2**-73.

So the cipher would bear far more. The number is what SP 800-38D section 8.3 allows one key with
random IVs: the limit would be the right one even if the derivation added nothing. A sender reaches
it with 130,000 messages a second for nine hours, the three periods a key of the ``production``
profile can seal: only by a fault, or an abuse, and then it should stop.
"""


@dataclass(slots=True)
class _Count:
    used: int
    not_after: datetime


@dataclass(slots=True)
class KeyUsage:
    """Counts what each topic key has sealed in this process; not safe for threads."""

    limit: int = MESSAGES_PER_KEY
    """Messages per key, at least 1."""
    _counts: dict[tuple[Subject, str], _Count] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"a key must be allowed at least one message, not {self.limit}")

    def __len__(self) -> int:
        return len(self._counts)

    def used(self, key: TopicKey) -> int:
        """Return how many messages ``key`` has sealed here."""
        count = self._counts.get((key.topic, key.key_id))
        return 0 if count is None else count.used

    def charge(self, key: TopicKey) -> None:
        """Count one message that is about to be sealed with ``key``.

        Raises:
            KeyExhaustedError: that would be one more than ``limit``; nothing is counted.
        """
        name = key.topic, key.key_id
        count = self._counts.get(name)
        if count is None:
            self._counts[name] = _Count(1, key.not_after)
        elif count.used < self.limit:
            count.used += 1
        else:
            raise KeyExhaustedError(f"{key.key_id!r} has sealed {self.limit} messages")

    def prune(self, now: datetime) -> None:
        """Forget the counts of keys whose validity is over; costs one look at every count."""
        self._counts = {name: c for name, c in self._counts.items() if now < c.not_after}
