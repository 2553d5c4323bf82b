"""Keeping one NATS server: its reload, and the proof that it runs with what was published.

A reload that was answered is not yet one that worked. Success is no error in the reply, the digest
of the published set in the server's own tags, and a connection with a leaf of the newest trusted
issuer: a truncated trust file is accepted silently, so nothing less proves it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from services.watcher.domain.monitoring import ServerFacts
from services.watcher.flows.material_keeping import PublishedMaterial
from services.watcher.ports import ReloadSignal, ServerCheck, SystemAccount
from svc_core.domain.desired import DesiredState
from svc_core.domain.status import ServerStatus
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import BusError, RejectedError, SvcError
from svc_core.runtime.surroundings import Surroundings

log = structlog.get_logger()


NOT_RUNNING: Final = "not running"
NOT_LOADED: Final = "reloaded, but not with what was published"
"""The server is well; what was published has not reached it yet."""


@dataclass(slots=True)
class ServerTools:
    """What is needed to reload one server and to see that it worked."""

    system: SystemAccount
    signal: ReloadSignal
    check: ServerCheck


@dataclass(frozen=True, slots=True)
class _Running:
    """What the server was last verified to run with."""

    material: str = ""
    version: int = 0
    issuer: str = ""
    error: str = "not verified yet"


@dataclass(slots=True)
class ServerKeeper:
    """One server and what it was last seen to run with."""

    name: str
    url: str
    tools: ServerTools
    around: Surroundings
    _running: _Running = field(default_factory=_Running)

    @property
    def status(self) -> ServerStatus:
        """Return what is known of this server."""
        running = self._running
        return ServerStatus(self.name, running.version, running.issuer, running.error)

    async def keep(
        self,
        desired: DesiredState,
        material: PublishedMaterial,
        canary: TlsMaterial,
        facts: ServerFacts | None,
    ) -> bool:
        """Bring the server to ``desired``; return whether a reload was needed.

        Args:
            material: what was published for it.
            canary: a leaf of the newest trusted issuer.
            facts: what the server last said of itself; None when it cannot be asked.
        """
        running = self._running
        is_verified = running.material == material.digest and not running.error
        if is_verified and facts is not None and facts.material == material.digest:
            self._running = _Running(material.digest, desired.version, material.issuer, "")
            return False
        began = self.around.clock.now()
        # A verified server that does not answer may only be slow to: then the handshake decides.
        error = "" if is_verified and facts is None else await self._reload(material, facts)
        error = error or await self.tools.check.prove(self.url, canary)
        if error:
            self._running = _Running(running.material, running.version, running.issuer, error)
        else:
            self._running = _Running(material.digest, desired.version, material.issuer, "")
        if self._is_news(error, running, checked_only=is_verified and facts is None):
            self._report(began, error, desired)
        return True

    def _is_news(self, error: str, before: _Running, *, checked_only: bool) -> bool:
        if not error:
            return not checked_only
        # Before the first start a server is not running, because Watcher makes its files first;
        # what has yet to arrive is told by who waits for it.
        is_expected = error == NOT_RUNNING and before.version == 0
        return error not in {NOT_LOADED, before.error} and not is_expected

    async def _reload(self, material: PublishedMaterial, facts: ServerFacts | None) -> str:
        if facts is None:
            # Nobody to ask: the signal works even after the server's certificate has expired.
            return await self._signal()
        if facts.material == material.digest:
            return ""  # started with it
        try:
            error = await self.tools.system.reload(facts.server_id)
            after = (await self.tools.system.fetch_facts()).get(self.name)
        except (BusError, RejectedError) as err:
            return f"reload not confirmed: {err}"
        if error:
            return f"reload refused: {error}"
        if after is None or after.material != material.digest:
            return NOT_LOADED
        return ""

    async def _signal(self) -> str:
        try:
            return "" if await self.tools.signal.signal() else NOT_RUNNING
        except SvcError as err:
            return f"cannot be signalled: {err}"

    def _report(self, began: datetime, error: str, desired: DesiredState) -> None:
        ended = self.around.clock.now()
        write = log.warning if error else log.info
        write(
            "nats.reload_failed" if error else "nats.reloaded",
            server=self.name,
            version=desired.version,
            active=desired.active,
            error=error or None,
            reload_began_at=began.isoformat(),
            reload_ended_at=ended.isoformat(),
            elapsed_ms=round((ended - began).total_seconds() * 1000, 1),
        )
