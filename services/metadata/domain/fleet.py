"""What the live instances have acknowledged, and who still uses which issuer."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from services.metadata.domain.issuers import Issuer
from svc_core.domain.desired import CutLeaf
from svc_core.domain.identity import WATCHER
from svc_core.domain.status import NOT_LOOKED_AT, InstanceStatus, ServerStatus


@dataclass(frozen=True, slots=True)
class Fleet:
    """The signed statuses of every instance that is live."""

    live: Sequence[InstanceStatus]
    watched_for: timedelta = timedelta.max
    """For how long every live Watcher has been saying what it sees."""

    def silent_below(self, version: int) -> tuple[str, ...]:
        """Return who has not acknowledged ``version``: instances, and servers by name."""
        silent = [f"{s.service}/{s.instance}" for s in self.live if s.version < version]
        watchers = [s for s in self.live if s.service == WATCHER]
        if not watchers:
            return (*silent, "no live watcher")
        servers = [
            f"server {server.name}: {server.error or f'at version {server.version}'}"
            for status in watchers
            for server in status.servers
            if server.error or server.version < version
        ]
        if not any(status.servers for status in watchers):
            servers.append("no server verified")
        return (*silent, *servers)

    def users_of(self, issuer: str) -> tuple[str, ...]:
        """Return who still uses a leaf of ``issuer``: instances, and connections by count."""
        users = [f"{s.service}/{s.instance}" for s in self.live if s.issuer == issuer]
        users += [
            f"{count} connections"
            for status in self.live
            if status.service == WATCHER and (count := status.connections.get(issuer, 0))
        ]
        users += [
            f"server {server.name}"
            for status in self.live
            for server in status.servers
            if server.issuer == issuer
        ]
        return tuple(users)

    def may_use(self, issuer: Issuer) -> tuple[str, ...]:
        """Return who uses ``issuer``, else who has not even heard that it is to be left."""
        return self.users_of(issuer.name) or self.silent_below(issuer.version)

    @property
    def is_watched(self) -> bool:
        """Whether anybody can say what connections there are."""
        return any(status.service == WATCHER for status in self.live)

    @property
    def servers(self) -> tuple[ServerStatus, ...]:
        """Every server as the live Watchers say."""
        return tuple(self._servers())

    def late_servers(self, version: int) -> tuple[ServerStatus, ...]:
        """Return the servers that did not follow to ``version`` and say why.

        At which nobody has looked yet none has failed: a Watcher that comes back says so of all.
        """
        unseen = ("", NOT_LOOKED_AT)
        return tuple(s for s in self._servers() if s.error not in unseen and s.version < version)

    def leaves_below(self, version: int) -> tuple[CutLeaf, ...]:
        """Return the leaves of the instances that have not acknowledged ``version``."""
        return tuple(
            CutLeaf(s.service, s.leaf) for s in self.live if s.leaf and s.version < version
        )

    def without(self, servers: Collection[str]) -> "Fleet":
        """Return the same fleet as if nobody had anything to say of these servers."""
        if not servers:
            return self
        return replace(
            self,
            live=[
                replace(s, servers=tuple(n for n in s.servers if n.name not in servers))
                for s in self.live
            ],
        )

    def servers_have(self, version: int) -> bool:
        """Say whether every server is verified at ``version`` or later."""
        watchers = [s for s in self.live if s.service == WATCHER and s.servers]
        return bool(watchers) and all(
            server.version >= version and not server.error
            for status in watchers
            for server in status.servers
        )

    def _servers(self) -> Iterator[ServerStatus]:
        for status in self.live:
            if status.service == WATCHER:
                yield from status.servers
