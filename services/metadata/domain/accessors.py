"""Which secret-ids are nobody's: made by a rotation, claimed by no instance, and not just now."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class SecretIdFacts:
    """What OpenBao says about one secret-id; the secret-id itself stays there."""

    accessor: str
    made_at: datetime
    """By OpenBao's clock."""
    is_rotated: bool
    """Whether a service made it for itself; otherwise the operator provisioned it."""


def grace(period: timedelta, skew: timedelta) -> timedelta:
    """Return how old an unclaimed secret-id must be: two rotation periods and the clock skew.

    An instance claims what it made within one call, so this is generous on purpose.
    """
    return 2 * period + skew


def abandoned(
    unclaimed: Iterable[SecretIdFacts], *, now: datetime, grace: timedelta
) -> list[SecretIdFacts]:
    """Return which of the ``unclaimed`` to destroy, the oldest first.

    Never one that the operator provisioned: it waits on a disk for a service that has not started
    yet, or for an instance's first rotation, and ends by its own `secret_id_ttl`.
    """
    due = [facts for facts in unclaimed if facts.is_rotated and now - facts.made_at > grace]
    return sorted(due, key=lambda facts: facts.made_at)
