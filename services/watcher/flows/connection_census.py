"""Counting live connections by issuer, and cutting those the desired state names."""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from services.watcher.domain.monitoring import count_by_issuer, issuer_of
from services.watcher.ports import SystemAccount
from svc_core.crypto.certificates import fingerprint
from svc_core.domain.desired import DesiredState
from svc_core.errors import BusError, RejectedError
from svc_core.flows.desired_reading import DesiredReader
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup

log = structlog.get_logger()

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
        for issuer in desired.issuers:
            # Names outlive their place in the trusted set: a straggler must not turn unknown.
            self._names.setdefault(fingerprint(issuer.pem), issuer.name)
        totals: dict[str, int] = {}
        for facts in (await self._system.fetch_facts()).values():
            connections = await self._system.fetch_connections(facts.server_id)
            for name, count in count_by_issuer(connections, self._names).items():
                totals[name] = totals.get(name, 0) + count
            for connection in connections:
                if issuer_of(connection, self._names) in desired.kicked_issuers:
                    await self._system.kick(facts.server_id, connection.cid)
                    log.warning("connection.kicked", user=connection.user, cid=connection.cid)
        if totals != self.connections:
            self.connections = totals
            self._changed.set()

    def _is_draining(self, desired: DesiredState | None) -> bool:
        return desired is not None and any(n != desired.active for n in self.connections)
