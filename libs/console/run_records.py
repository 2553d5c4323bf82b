"""Reading what a run left behind: the journals of both ends and the services' logs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from devstack.layout import SERVICES, Layout
from svc_core.adapters.journal import read_journal
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA
from svc_core.domain.journal_records import JournalRecord
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.timing import SwapWindow
from svc_core.domain.traffic import Traffic, count_traffic
from svc_core.domain.verdict import RotationFacts

CA_ROTATED: Final = "ca.rotated"
CONNECTION_SWAPPED: Final = "connection.swapped"
NATS_RELOADED: Final = "nats.reloaded"
_SWAP_FIELDS: Final = {
    CONNECTION_SWAPPED: ("swap_began_at", "swap_ended_at"),
    NATS_RELOADED: ("reload_began_at", "reload_ended_at"),
}
_MARGIN: Final = timedelta(seconds=2)


@dataclass(slots=True)
class Journals:
    """The journals of both ends of one stack."""

    layout: Layout
    damaged_lines: int = 0
    """Lines that could not be read, the last time."""

    def read(self, order: LoadOrder) -> Traffic:
        """Count the traffic of one run; blocks while it reads."""
        self.damaged_lines = 0
        return count_traffic(self._records(order), order=order)

    def _records(self, order: LoadOrder) -> Iterator[JournalRecord]:
        for service in (GATEKEEPER, AUTHCONTROLLER):
            yield from read_journal(
                self.layout.service(service) / "journal",
                since=order.starts_at - _MARGIN,
                on_damage=self._note_damage,
            )

    def _note_damage(self, _path: Path, _line: int) -> None:
        self.damaged_lines += 1


def read_rotations(layout: Layout) -> RotationFacts:
    """Return every rotation and swap in the services' logs; blocks while it reads."""
    swaps: list[SwapWindow] = []
    for service in SERVICES:
        for name, event in _events(layout.log_of(service), tuple(_SWAP_FIELDS)):
            began, ended = (_instant(event.get(field)) for field in _SWAP_FIELDS[name])
            if began is not None and ended is not None:
                swaps.append(SwapWindow(service, began, ended))
    return RotationFacts(read_completed_ca_epochs(layout), tuple(swaps))


def read_end_to_end_ms(layout: Layout) -> dict[int, float]:
    """Return how long each rotation took that Metadata has reported complete, by CA epoch.

    It is the time until everybody trusted the issuer, and from when it became active until nobody
    used the one before; what was waited for the boundary is no part of it.
    """
    events = _events(layout.log_of(METADATA), (CA_ROTATED,))
    return {
        event["epoch"]: float(event["elapsed_ms"])
        for _, event in events
        if isinstance(event.get("epoch"), int) and isinstance(event.get("elapsed_ms"), int | float)
    }


def read_completed_ca_epochs(layout: Layout) -> frozenset[int]:
    """Return the CA epochs whose rotation Metadata has reported complete."""
    events = _events(layout.log_of(METADATA), (CA_ROTATED,))
    return frozenset(event["epoch"] for _, event in events if isinstance(event.get("epoch"), int))


def _events(path: Path, names: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the named events of one log; lines that are no event are none of ours."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                # Most lines are about something else: parsing each would take most of the time.
                if not any(name in line for name in names):
                    continue
                event = parsed_event(line)
                if event.get("event") in names:
                    yield event["event"], event
    except FileNotFoundError:
        return


def parsed_event(line: str) -> dict[str, Any]:
    """Return one line of a structured log; empty for a line that is no event."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _instant(text: object) -> datetime | None:
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return instant if instant.tzinfo else None
