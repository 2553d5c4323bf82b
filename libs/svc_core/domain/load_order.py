"""`LoadOrder`: so many requests per second from then to then, as a small JSON document.

Request ``k`` is due at ``starts_at + k / rate``, whoever sends it and however often the sender was
restarted: the schedule is computed from time alone.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from svc_core.errors import MalformedMessageError

MAX_RATE: Final = 10_000.0
"""Most requests per second an order may ask for."""
_RUN_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """An open-loop schedule of requests."""

    run_id: str
    """1 to 64 letters, digits and dashes; part of every request's id."""
    rate: float
    """Requests per second, above 0 and at most 10,000."""
    starts_at: datetime
    ends_at: datetime

    def __post_init__(self) -> None:
        if not _RUN_ID.fullmatch(self.run_id):
            raise ValueError(f"not a run id: {self.run_id!r} (want {_RUN_ID.pattern})")
        if not 0 < self.rate <= MAX_RATE:
            raise ValueError(f"rate must be above 0 and at most {MAX_RATE:g}, got {self.rate:g}")
        if self.starts_at.tzinfo is None or self.ends_at.tzinfo is None:
            raise ValueError("starts_at and ends_at need a time zone")

    @property
    def total(self) -> int:
        """Requests due before the end."""
        return self.index_at(self.ends_at)

    def due_at(self, index: int) -> datetime:
        """Return when request ``index`` is due."""
        return self.starts_at + timedelta(seconds=index / self.rate)

    def index_at(self, now: datetime) -> int:
        """Return the index of the first request that is due at ``now`` or later."""
        return max(0, ceil((now - self.starts_at).total_seconds() * self.rate))

    def is_over(self, now: datetime) -> bool:
        """Say whether nothing is due any more."""
        return now >= self.ends_at


def request_id(run_id: str, boot_id: str, index: int) -> str:
    """Return ``<run>-<boot>-<index>``: never used twice, also after a restart in the same run."""
    return f"{run_id}-{boot_id}-{index}"


def encode(order: LoadOrder) -> str:
    """Return ``order`` as a JSON document with a line feed."""
    document = {
        "run_id": order.run_id,
        "rate": order.rate,
        "starts_at": order.starts_at.isoformat(),
        "ends_at": order.ends_at.isoformat(),
    }
    return json.dumps(document, indent=2) + "\n"


def decode(text: str) -> LoadOrder | None:
    """Return the order in a JSON document, or None for one that asks for no load (rate 0).

    Raises:
        MalformedMessageError: the text is no order.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, Mapping):
            raise MalformedMessageError("a load order is a JSON object")
        rate = float(document["rate"])
        if rate == 0:
            return None
        return LoadOrder(
            run_id=str(document["run_id"]),
            rate=rate,
            starts_at=datetime.fromisoformat(str(document["starts_at"])),
            ends_at=datetime.fromisoformat(str(document["ends_at"])),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise MalformedMessageError(f"no load order: {type(err).__name__}: {err}") from err
