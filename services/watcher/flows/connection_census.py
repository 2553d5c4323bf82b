"""Counting live connections by issuer, and cutting those that may be no more.

These are the ones whose issuer, user or leaf the desired state names, those on a server that is
fenced, and those whose issuer is not trusted: a server looks at certificates in the handshake only,
so trust that was withdrawn would go on in what was connected before. A connection that does not
show who signed its leaf is one of them.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final

import structlog

from services.watcher.domain.monitoring import (
    LiveConnection,
    count_by_issuer,
    issuer_of,
    service_of,
)
from services.watcher.ports import SystemAccount
from svc_core.crypto.certificates import fingerprint
from svc_core.domain.desired import DesiredState
from svc_core.domain.identity import CANARY, WATCHER_SYS
from svc_core.errors import BusError, RejectedError
from svc_core.flows.desired_reading import DesiredReader
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup

log = structlog.get_logger()

_ConnectionId = tuple[str, int]
"""Server id and number of one connection."""

_MAY_PASS_FENCES: Final = frozenset({CANARY, WATCHER_SYS})
"""Who has to get to a fenced server to see that it is well again."""
_CLOSELY_S: Final = 0.1
_USUALLY_S: Final = 1.0


class ConnectionCensus:
    """The loop that knows who still uses which issuer."""

    name: Final = "connection_census"

    def __init__(
        self, reader: DesiredReader, system: SystemAccount, changed: Wakeup, around: Surroundings
    ) -> None:
        self._reader = reader
        self._system = system
        self._changed = changed
        self._around = around
        self._names: dict[str, str] = {}
        self._untrusted: dict[_ConnectionId, float] = {}
        self._counted: dict[str, Counter[str]] = {}
        self.connections: Mapping[str, int] = {}
        """Live client connections by issuer name, over all servers."""

    async def run(self) -> None:
        """Count for ever, closely while anything is left on a former issuer."""
        while True:
            desired = self._reader.newest
            if desired is not None:
                try:
                    await self._count(desired)
                    self._around.health.beat(self.name)
                except (BusError, RejectedError) as err:
                    self._around.health.fail(self.name, str(err))
            await asyncio.sleep(_CLOSELY_S if self._is_draining(desired) else _USUALLY_S)

    async def _count(self, desired: DesiredState) -> None:
        seen: set[_ConnectionId] = set()
        for server, facts in (await self._system.fetch_facts()).items():
            connections = await self._system.fetch_connections(facts.server_id)
            # Whoever is connected may use an issuer that became trusted a moment ago.
            desired = self._reader.newest or desired
            self._learn_names(desired)
            # A server that does not answer keeps its last count: it is not known to be empty.
            self._counted[server] = Counter(count_by_issuer(connections, self._names))
            for connection in connections:
                seen.add((facts.server_id, connection.cid))
                issuer = issuer_of(connection, self._names)
                if _is_named(connection, issuer, desired, server=server) or self._is_untrusted(
                    facts.server_id, connection, desired
                ):
                    await self._system.kick(facts.server_id, connection.cid)
                    log.warning("connection.kicked", user=connection.user, cid=connection.cid)
        self._untrusted = {c: since for c, since in self._untrusted.items() if c in seen}
        for server in desired.fenced:
            # Nobody is to be there: what it said before it failed is not waited for.
            self._counted.pop(server, None)
        totals = sum(self._counted.values(), Counter[str]())
        if totals != self.connections:
            self.connections = dict(totals)
            self._changed.set()

    def _learn_names(self, desired: DesiredState) -> None:
        for issuer in desired.issuers:
            # Names outlive their place in the trusted set: a straggler must not turn unknown.
            self._names.setdefault(fingerprint(issuer.pem), issuer.name)

    def _is_untrusted(
        self, server_id: str, connection: LiveConnection, desired: DesiredState
    ) -> bool:
        """Say whether nobody trusts the issuer of a connection, and not because we are late."""
        issuer, found = issuer_of(connection, self._names), (server_id, connection.cid)
        if desired.issuer(issuer) is not None or not connection.user:
            # Without a user it is still shaking hands, and the server looks at it itself.
            self._untrusted.pop(found, None)
            return False
        now = self._around.clock.monotonic()
        patience_s = self._around.profile.liveness.total_seconds()
        return now - self._untrusted.setdefault(found, now) >= patience_s

    def _is_draining(self, desired: DesiredState | None) -> bool:
        return desired is not None and any(n != desired.active for n in self.connections)


def _is_named(
    connection: LiveConnection, issuer: str, desired: DesiredState, *, server: str
) -> bool:
    """Say whether ``desired`` names who is to be cut, and means this connection."""
    service = service_of(connection)
    if issuer in desired.kicked_issuers or service in desired.revoked:
        return True
    # Only its own service can name a leaf for being cut.
    if (service, connection.leaf) in {(c.service, c.fingerprint) for c in desired.cut_leaves}:
        return True
    return server in desired.fenced and bool(service) and service not in _MAY_PASS_FENCES
