"""Orders to die, kept in a file beside a service's configuration, and what came of them.

The file holds lanes; in each lane the first label is the one that strikes next, and is taken out
before it does. So a process that starts again finds what is left of its orders.
"""

import json
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.chaos.crash_points import BY_LABEL, When

Lanes = Sequence[Sequence[str]]

_ORDERS: Final = "crash-orders.json"
_STRUCK: Final = "crashes"


@dataclass(frozen=True, slots=True)
class Strike:
    """A point that was reached, and when the process died there."""

    label: str
    at: datetime


def arm(directory: Path, lanes: Lanes, number: int = signal.SIGKILL) -> None:
    """Order the service in ``directory`` to die at these points; replaces what was ordered.

    Args:
        directory: where its ``config.yaml`` is.
        lanes: labels in their order; lanes do not wait for each other.
        number: the signal; SIGSTOP freezes it there instead.
    """
    for lane in lanes:
        for label in lane:
            BY_LABEL[label]
    _write(directory, _Orders(number, [list(lane) for lane in lanes]))


def disarm(directory: Path) -> None:
    """Take back every order that was not carried out."""
    (directory / _ORDERS).unlink(missing_ok=True)


def outstanding(directory: Path) -> list[str]:
    """Return the labels that were not reached yet."""
    return [label for lane in _read(directory).lanes for label in lane]


def strikes(directory: Path) -> list[Strike]:
    """Return every point at which the service died, oldest first."""
    try:
        lines = (directory / _STRUCK).read_text().splitlines()
    except FileNotFoundError:
        return []
    parts = [line.rpartition(" ") for line in lines]
    return [Strike(label, datetime.fromisoformat(at)) for label, _, at in parts]


class Trap:
    """Watches what its process does, from any thread, and strikes where it was ordered to."""

    def __init__(self, directory: Path, send: Callable[[int], None]) -> None:
        """Watch.

        Args:
            directory: where the orders are.
            send: sends this process a signal.
        """
        self._directory = directory
        self._send = send
        self._lock = threading.Lock()

    def consider(self, event: str, when: When) -> None:
        """Die here if a lane says so."""
        if not (self._directory / _ORDERS).exists():
            return
        with self._lock:
            orders = _read(self._directory)
            for lane in orders.lanes:
                if lane and BY_LABEL[lane[0]].is_at(event, when):
                    self._strike(lane.pop(0), orders)
                    return

    def _strike(self, label: str, left: "_Orders") -> None:
        # In this order: whoever sees nothing outstanding reads all that was struck.
        with (self._directory / _STRUCK).open("a") as file:
            file.write(f"{label} {_now().isoformat()}\n")
        _write(self._directory, left)
        self._send(left.number)


@dataclass(frozen=True, slots=True)
class _Orders:
    number: int
    lanes: list[list[str]]


def _read(directory: Path) -> _Orders:
    try:
        return _Orders(**json.loads((directory / _ORDERS).read_text()))
    except FileNotFoundError:
        return _Orders(signal.SIGKILL, [])


def _write(directory: Path, orders: _Orders) -> None:
    path = directory / _ORDERS
    temporary = directory / f"{_ORDERS}.{os.getpid()}"
    temporary.write_text(json.dumps(asdict(orders)))
    # Not by `Path.replace`, which is watched itself.
    os.replace(temporary, path)  # noqa: PTH105


def _now() -> datetime:
    return datetime.now(UTC)
