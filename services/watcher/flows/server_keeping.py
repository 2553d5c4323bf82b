"""Keeping one NATS server: its reload, and the proof that it runs with what was published.

A reload that was answered, or a signal that was sent, is not yet one that worked. Success is no
error in the reply, the digest of the published set in the server's own tags, and a connection with
a leaf of the newest trusted issuer: a truncated trust file is accepted silently, so nothing less
proves it. Whoever else makes a server load its files may have made it load others: then it is
reloaded, whatever its tags say.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog

from services.watcher.domain.monitoring import ServerFacts
from services.watcher.flows.material_keeping import PublishedMaterial
from services.watcher.ports import ReloadSignal, ServerCheck, SystemAccount
from svc_core.domain.desired import DesiredState
from svc_core.domain.status import ServerStatus
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import AccessDeniedError, BusError, RejectedError, SvcError
from svc_core.runtime.surroundings import Surroundings

log = structlog.get_logger()


NOT_RUNNING: Final = "not running"
NOT_LOADED: Final = "reloaded, but not with what was published"
"""The server is well; what was published has not reached it yet."""
NOT_CONFIRMED: Final = "asked to reload, but does not say what it runs with"


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
    loaded_at: str = ""
    """As the server wrote it."""
    version: int = 0
    issuer: str = ""
    error: str = "not verified yet"


class _NotReloadedError(Exception):
    """Why a server does not run with what was published."""


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
        before, began = self._running, self.around.clock.now()
        wanted = replace(
            before,
            material=material.digest,
            version=desired.version,
            issuer=material.issuer,
            error="",
        )
        is_verified = before.material == material.digest and not before.error
        if is_verified and facts is None:
            # It may only be slow to answer: then the handshake decides.
            error = await self.tools.check.prove(self.url, canary)
            self._running = replace(before, error=error) if error else wanted
            self._report(began, desired, before)
            return False
        if is_verified and facts is not None and self._is_untouched(facts):
            self._running = wanted
            return False
        try:
            loaded_at = await self._reload(material, facts)
        except _NotReloadedError as err:
            self._running = replace(before, error=str(err))
        else:
            error = await self.tools.check.prove(self.url, canary)
            self._running = replace(before if error else wanted, loaded_at=loaded_at, error=error)
        self._report(began, desired, before, reloaded=True)
        return True

    def _is_untouched(self, facts: ServerFacts) -> bool:
        running = self._running
        return (facts.material, facts.config_loaded_at) == (running.material, running.loaded_at)

    async def _reload(self, material: PublishedMaterial, facts: ServerFacts | None) -> str:
        """Have the server load what was published, and return when it did."""
        if facts is None:
            # Nobody to ask: the signal works even after the server's certificate has expired.
            await self._signal()
        elif self._started_with(material, facts):
            return facts.config_loaded_at
        else:
            await self._request(facts)
        after = await self._ask()
        if after is None:
            raise _NotReloadedError(NOT_CONFIRMED)
        is_as_before = facts is not None and after.config_loaded_at == facts.config_loaded_at
        if is_as_before or after.material != material.digest:
            raise _NotReloadedError(NOT_LOADED)
        return after.config_loaded_at

    def _started_with(self, material: PublishedMaterial, facts: ServerFacts) -> bool:
        is_new_here = self._running.material != material.digest
        return facts.material == material.digest and (is_new_here or self._is_untouched(facts))

    async def _request(self, facts: ServerFacts) -> None:
        try:
            error = await self.tools.system.reload(facts.server_id)
        except (BusError, AccessDeniedError, RejectedError) as err:
            raise _NotReloadedError(f"reload not confirmed: {err}") from err
        if error:
            raise _NotReloadedError(f"reload refused: {error}")

    async def _ask(self) -> ServerFacts | None:
        try:
            return (await self.tools.system.fetch_facts()).get(self.name)
        except (BusError, AccessDeniedError, RejectedError):
            return None

    async def _signal(self) -> None:
        try:
            is_running = await self.tools.signal.signal()
        except SvcError as err:
            raise _NotReloadedError(f"cannot be signalled: {err}") from err
        if not is_running:
            raise _NotReloadedError(NOT_RUNNING)

    def _is_news(self, error: str, before: _Running, *, reloaded: bool) -> bool:
        if not error:
            return reloaded
        # Before the first start a server is not running, because Watcher makes its files first;
        # what has yet to arrive is told by who waits for it.
        is_expected = error in {NOT_RUNNING, NOT_CONFIRMED} and before.version == 0
        return error not in {NOT_LOADED, before.error} and not is_expected

    def _report(
        self, began: datetime, desired: DesiredState, before: _Running, *, reloaded: bool = False
    ) -> None:
        ended, error = self.around.clock.now(), self._running.error
        if not self._is_news(error, before, reloaded=reloaded):
            return
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
