"""Roles only Watcher needs: publishing files, reloading servers, asking them."""

from collections.abc import Mapping, Sequence
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
