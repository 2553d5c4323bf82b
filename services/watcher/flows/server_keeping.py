"""Keeping one NATS server: its files, its reload, and the proof that it runs with them.

A reload that was answered is not yet one that worked: success is no error in the reply, a load
time that moved, and a connection with a leaf of the newest trusted issuer.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from services.watcher.config import NatsNode
from services.watcher.domain.monitoring import ServerFacts
from services.watcher.domain.server_files import ServerCertificates, digest, server_files
from services.watcher.ports import FileTarget, ReloadSignal, ServerCheck, SystemAccount
from svc_core.domain.desired import DesiredState
from svc_core.domain.identity import NATS_ROUTE, NATS_SERVER, Deployment
from svc_core.domain.status import ServerStatus
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import BusError, RejectedError
from svc_core.flows.leaf_issuing import ROUTE_MOUNT, LeafIssuing, LeafSpec
from svc_core.runtime.surroundings import Surroundings

log = structlog.get_logger()

_DRAW: Final = 1 << 16


@dataclass(slots=True)
class ServerTools:
    """What is needed to keep one server."""

    files: FileTarget
    system: SystemAccount
    signal: ReloadSignal
    check: ServerCheck
    issuing: LeafIssuing


@dataclass(slots=True)
class _Running:
    """What the server was last verified to run with."""

    digest: str = ""
    version: int = 0
    issuer: str = ""
    error: str = "not verified yet"


@dataclass(slots=True)
class ServerKeeper:
    """One server and everything it should run with."""

    node: NatsNode
    tools: ServerTools
    around: Surroundings
    deployment: Deployment
    _certificates: ServerCertificates | None = field(default=None)
    _renew_at: datetime | None = field(default=None)
    _running: _Running = field(default_factory=_Running)

    @property
    def status(self) -> ServerStatus:
        """Return what is known of this server."""
        running = self._running
        return ServerStatus(self.node.name, running.version, running.issuer, running.error)

    async def keep(
        self, desired: DesiredState, canary: TlsMaterial, facts: ServerFacts | None
    ) -> bool:
        """Bring the server to ``desired``; return whether a reload was needed.

        Args:
            canary: a leaf of the newest trusted issuer.
            facts: what the server last said of itself; None when it cannot be asked.
        """
        certificates = await self._current_certificates(desired)
        files = server_files(desired, certificates, self.deployment)
        wanted = digest(files)
        published = await self.tools.files.fetch(tuple(files))
        if published is None or digest(published) != wanted:
            if published is not None and self._running.digest == wanted:
                log.warning("server.drift_repaired", server=self.node.name)
            await self.tools.files.publish(files)
        elif self._running.digest == wanted and not self._running.error:
            self._running.version = desired.version
            return False
        began = self.around.clock.now()
        error = await self._reload(facts)
        error = error or await self.tools.check.prove(self.node.url, canary)
        self._running.error = error
        if not error:
            self._running = _Running(wanted, desired.version, certificates.server.issuer, "")
        self._report(began, error, desired)
        return True

    async def _current_certificates(self, desired: DesiredState) -> ServerCertificates:
        now = self.around.clock.now()
        have = self._certificates
        if (
            have is not None
            and have.server.issuer == desired.active
            and self._renew_at is not None
            and now < self._renew_at
        ):
            return have
        issue, names = self.tools.issuing.issue, self.node
        server = LeafSpec(NATS_SERVER, (), names.dns_names, names.ip_addresses, server=True)
        route = LeafSpec(
            NATS_ROUTE,
            (self.deployment.spiffe_id(NATS_ROUTE),),
            names.dns_names,
            names.ip_addresses,
            server=True,
            mount=ROUTE_MOUNT,
        )
        fresh = ServerCertificates(
            await issue(server, desired, desired.active),
            await issue(route, desired, desired.active),
        )
        self._certificates = fresh
        draw = int.from_bytes(self.around.entropy(2), "big") / _DRAW
        self._renew_at = min(fresh.server.renew_at(draw), fresh.route.renew_at(draw))
        return fresh

    async def _reload(self, facts: ServerFacts | None) -> str:
        if facts is None:
            # Nobody to ask: the signal works even after the server's certificate has expired.
            return "" if await self.tools.signal.signal() else "not running"
        try:
            error = await self.tools.system.reload(facts.server_id)
            if error:
                return f"reload refused: {error}"
            after = (await self.tools.system.fetch_facts()).get(self.node.name)
        except (BusError, RejectedError) as err:
            return f"reload not confirmed: {err}"
        if after is not None and after.config_loaded_at == facts.config_loaded_at:
            return "reload answered, but the configuration was not loaded again"
        return ""

    def _report(self, began: datetime, error: str, desired: DesiredState) -> None:
        ended = self.around.clock.now()
        write = log.warning if error else log.info
        write(
            "nats.reload_failed" if error else "nats.reloaded",
            server=self.node.name,
            version=desired.version,
            active=desired.active,
            error=error or None,
            reload_began_at=began.isoformat(),
            reload_ended_at=ended.isoformat(),
            elapsed_ms=round((ended - began).total_seconds() * 1000, 1),
        )
