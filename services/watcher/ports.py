"""Roles only Watcher needs: publishing files, reloading servers, asking them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from services.watcher.domain.monitoring import LiveConnection, ServerFacts
from svc_core.domain.tls import TlsMaterial


class FileTarget(Protocol):
    """Where one set of files is published whole."""

    async def publish(self, files: Mapping[str, bytes]) -> None:
        """Replace the set; a reader sees the old or the new one, never a mixture."""
        ...

    async def fetch(self, names: Sequence[str]) -> Mapping[str, bytes] | None:
        """Return the named files as they are published now, or None when one is missing."""
        ...


class SystemAccount(Protocol):
    """The cluster's own monitoring; may raise `BusError` when it cannot be reached."""

    async def fetch_facts(self) -> Mapping[str, ServerFacts]:
        """Return every server that answers, by name."""
        ...

    async def reload(self, server_id: str) -> str:
        """Have one server read its configuration again; return its error, or the empty string."""
        ...

    async def fetch_connections(self, server_id: str) -> Sequence[LiveConnection]:
        """Return the client connections of one server."""
        ...

    async def kick(self, server_id: str, cid: int) -> None:
        """Cut one client connection."""
        ...


class ReloadSignal(Protocol):
    """The way to reload a server that works without any connection to it."""

    async def signal(self) -> bool:
        """Send SIGHUP; return False when no such process runs."""
        ...


class ServerCheck(Protocol):
    """A live handshake with one server."""

    async def prove(self, url: str, canary: TlsMaterial) -> str:
        """Connect as the canary; return the empty string, or why it failed."""
        ...


class OperatorEvents(Protocol):
    """What an operator finds at the objects of a cluster; never fails and never waits."""

    def applied(self, *, version: int, active: str) -> None:
        """Say that every server runs with this version."""
        ...

    def reload_failed(self, server: str, reason: str) -> None:
        """Say that one server did not take what was published."""
        ...

    def propagation_slow(self, server: str, waited: timedelta) -> None:
        """Say that one server still has not seen what was published for it."""
        ...
