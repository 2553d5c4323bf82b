"""Handshakes that failed and connections that were lost, from everybody who could have noticed.

Both ends are asked: what NATS servers and OpenBao wrote down, what services and light clients
wrote down or count. Only what came after `RefusalLedger` was made counts: while a stack boots,
ports are looked at before anything is behind them.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from console.run_records import parsed_event
from devstack.admin import fetch_admin
from devstack.errors import ServiceUnreachableError
from devstack.guests import LIGHT
from devstack.layout import NODES, SERVICES, Layout
from svc_core.runtime.admin_metrics import HANDSHAKES_REFUSED

Counts = Mapping[str, int]

CONNECTION_EVENTS: Final = frozenset(
    {"connection.failed", "connection.lost", "connection.swap_failed", "connection.kicked"}
)
_UNAUTHENTICATED: Final = "authentication error"
_SERVER_COMPLAINTS: Final = ("handshake error", _UNAUTHENTICATED, "authorization violation")
_RELOADING: Final = "] reloaded: "
_RELOADED: Final = "] reloaded server configuration"
_NOTEWORTHY: Final = frozenset({"warning", "error", "critical"})
_KEPT_EXAMPLES: Final = 5
_LONGEST_LABEL: Final = 80


@dataclass(frozen=True, slots=True)
class Refusals:
    """What went wrong between two parties, by who said so."""

    servers: Mapping[str, int]
    """Failed handshakes and refused users in the logs of NATS servers and OpenBao."""
    mid_reload: Mapping[str, int]
    """Connections that had just ended when their NATS server reloaded; not judged.

    It looks at the users of all its connections again then, and finds none behind such a one. A
    client that was really turned away counts that itself.
    """
    services: Mapping[str, int]
    """Connections that failed, were lost or were cut, as ``<service> <event>``."""
    admin: Mapping[str, int]
    """Handshakes that admin listeners refused."""
    warnings: Mapping[str, int]
    """Every warning and error in the services' logs, as ``<service> <event>``; not judged."""
    examples: tuple[str, ...]
    """Some lines of the servers' logs."""

    @property
    def total(self) -> int:
        """Everything that should not have happened."""
        return sum((*self.servers.values(), *self.services.values(), *self.admin.values()))


@dataclass(frozen=True, slots=True)
class _Complaints:
    """What one server's log says against its clients."""

    lines: tuple[str, ...]
    mid_reload: int


class RefusalLedger:
    """Remembers where every log ended, to count what came after."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._server_logs = {
            **{node: layout.node(node) / "nats.log" for node in NODES},
            "openbao": layout.openbao / "openbao.log",
        }
        self._service_logs = {name: layout.log_of(name) for name in (*SERVICES, LIGHT.name)}
        logs = (*self._server_logs.values(), *self._service_logs.values())
        self._began = {path: _size(path) for path in logs}
        self._admin: dict[str, int] = {}

    async def begin(self) -> None:
        """Note what the admin listeners have counted so far."""
        self._admin = await self._count_admin()

    async def count(self) -> Refusals:
        """Return what came since.

        A listener that cannot be asked any more counts as one refusal.
        """
        complaints, services, warnings = await asyncio.to_thread(self._count_logs)
        before, now = self._admin, await self._count_admin()
        admin: dict[str, int] = {
            name: now.get(name, before.get(name, 0) + 1) - before.get(name, 0) for name in SERVICES
        }
        servers = {name: len(found.lines) for name, found in complaints.items()}
        mid_reload = {name: found.mid_reload for name, found in complaints.items()}
        examples = [line for found in complaints.values() for line in found.lines][:_KEPT_EXAMPLES]
        return Refusals(servers, mid_reload, services, admin, warnings, tuple(examples))

    def _count_logs(self) -> tuple[Mapping[str, _Complaints], Counts, Counts]:
        """Return complaints by server, events and warnings by service; blocks."""
        complaints = {
            name: _complaints(self._lines(path)) for name, path in self._server_logs.items()
        }
        events: Counter[str] = Counter()
        warnings: Counter[str] = Counter()
        for name, path in self._service_logs.items():
            for event in map(parsed_event, self._lines(path)):
                label = f"{name} {event.get('event')}"[:_LONGEST_LABEL]
                events[label] += event.get("event") in CONNECTION_EVENTS
                warnings[label] += event.get("level") in _NOTEWORTHY
        return complaints, _present(events), _present(warnings)

    async def _count_admin(self) -> dict[str, int]:
        counted: dict[str, int] = {}
        for service in SERVICES:
            try:
                answer = await fetch_admin(self._layout, service, "/metrics")
            except ServiceUnreachableError:
                continue
            counted[service] = _refused(answer.text)
        return counted

    def _lines(self, path: Path) -> Iterator[str]:
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                # A log that is shorter than it was has been begun anew.
                began = self._began.get(path, 0)
                file.seek(began if began <= _size(path) else 0)
                yield from file
        except FileNotFoundError:
            return


def _refused(exposition: str) -> int:
    families = text_string_to_metric_families(exposition)
    samples = (sample for family in families for sample in family.samples)
    return sum(int(sample.value) for sample in samples if sample.name == HANDSHAKES_REFUSED)


def _complaints(lines: Iterator[str]) -> _Complaints:
    found: list[str] = []
    mid_reload = 0
    is_reloading = False
    for line in lines:
        lowered = line.lower()
        if _RELOADING in lowered:
            is_reloading = True
        elif _RELOADED in lowered:
            is_reloading = False
        elif is_reloading and _UNAUTHENTICATED in lowered:
            mid_reload += 1
        elif any(complaint in lowered for complaint in _SERVER_COMPLAINTS):
            found.append(line)
    return _Complaints(tuple(found), mid_reload)


def _present(counts: Counter[str]) -> dict[str, int]:
    return {name: count for name, count in sorted(counts.items()) if count}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
