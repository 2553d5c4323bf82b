"""What is written down about the authority's own doings, how often it is signed, how long kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Note:
    """What is about to be done; becomes an entry of the audit log."""

    kind: str
    """The event it will be logged as, such as ``issuer.activated``."""
    subject: str
    facts: Mapping[str, str] = field(default_factory=dict)
    """Nothing secret."""


@dataclass(frozen=True, slots=True)
class AuditPolicy:
    """How often the log is signed, and how much of it is kept."""

    every: int = 64
    """Entries after which a checkpoint is due, if no rotation ended before."""
    kept: int = 8192
    """Entries that are kept at least."""

    def __post_init__(self) -> None:
        if not 0 < self.every <= self.kept:
            raise ValueError(f"a checkpoint every {self.every} of {self.kept} kept entries")

    def first_kept(self, oldest: int, *, head: int, limit: int) -> int:
        """Return the number of the first entry to keep; ``oldest`` when nothing is to be cut.

        Cutting waits until a checkpoint's worth of entries can go at once.

        Args:
            oldest: number of the oldest entry there is.
            head: number of the newest.
            limit: number of the entry that the newest desired state names: never cut beyond it.
        """
        first = min(head - self.kept + 1, limit)
        return first if first - oldest >= self.every else oldest


DEFAULT_POLICY: Final = AuditPolicy()
