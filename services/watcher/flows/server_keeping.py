"""Keeping one NATS server: its reload, and the proof that it runs with what was published.

A reload that was answered, or a signal that was sent, is not yet one that worked. Success is no
error in the reply, the digest of the published set in the server's own tags, and a connection with
a leaf of the newest trusted issuer: a truncated trust file is accepted silently, so nothing less
proves it. Whoever else makes a server load its files may have made it load others: then it is
reloaded, whatever its tags say.

Not every error is a failure that somebody should act upon. One that the server states, or shows in
a handshake right after it answered, is. One that does not answer is, once it has been silent for
longer than an answer takes while others did answer. One that does not run will load what is there
when it starts, and files that are on their way will arrive.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Final

import structlog

from services.watcher.domain.monitoring import ServerFacts
from services.watcher.flows.material_keeping import PublishedMaterial
from services.watcher.ports import ReloadSignal, ServerCheck, SystemAccount
from svc_core.domain.desired import DesiredState
from svc_core.domain.status import NOT_LOOKED_AT, ServerStatus
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import AccessDeniedError, BusError, RejectedError, SvcError
from svc_core.runtime.surroundings import Surroundings

log = structlog.get_logger()


NOT_RUNNING: Final = "not running"
NOT_LOADED: Final = "reloaded, but not with what was published"
"""The server is well; what was published has not reached it yet."""
NOT_CONFIRMED: Final = "asked to reload, but does not say what it runs with"
SILENCE_S: Final = 3.0
"""How long a server may not answer, while others do, before it has failed."""


class Fault(Enum):
    """What kind of error it is."""

    REFUSED = "the server says or shows that it does not do it"
    UNANSWERED = "nobody knows what the server did"
    PENDING = "it may still come"


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
    error: str = NOT_LOOKED_AT
    failed_at: int = 0


class _NotReloadedError(Exception):
    """Why a server does not run with what was published."""

    def __init__(self, reason: str, fault: Fault) -> None:
        super().__init__(reason)
        self.fault = fault


@dataclass(slots=True)
class ServerKeeper:
    """One server and what it was last seen to run with."""

    name: str
    url: str
    tools: ServerTools
    around: Surroundings
    _running: _Running = field(default_factory=_Running)
    _silent_since: float | None = field(default=None)

    @property
    def status(self) -> ServerStatus:
        """Return what is known of this server."""
        running = self._running
        return ServerStatus(
            self.name, running.version, running.issuer, running.error, running.failed_at
        )

    async def keep(
        self,
        desired: DesiredState,
        material: PublishedMaterial,
        canary: TlsMaterial,
        answers: Mapping[str, ServerFacts],
    ) -> bool:
        """Bring the server to ``desired``; return whether a reload was needed.

        Args:
            desired: what it should run with.
            material: what was published for it.
            canary: a leaf of the newest trusted issuer.
            answers: what each server that answers has just said of itself.
        """
        before, began, facts = self._running, self.around.clock.now(), answers.get(self.name)
        wanted = replace(
            before,
            material=material.digest,
            version=desired.version,
            issuer=material.issuer,
            error="",
            failed_at=0,
        )
        is_verified = before.material == material.digest and not before.error
        if is_verified and facts is None:
            # It may only be slow to answer: then the handshake decides.
            error = await self.tools.check.prove(self.url, canary)
            self._running = replace(before, error=error) if error else wanted
            self._judge(desired, Fault.UNANSWERED, answers)
            self._report(began, desired, before)
            return False
        if is_verified and facts is not None and self._is_untouched(facts):
            self._running = wanted
            return False
        fault = Fault.REFUSED
        try:
            loaded_at = await self._reload(material, facts)
        except _NotReloadedError as err:
            self._running, fault = replace(before, error=str(err)), err.fault
        else:
            error = await self.tools.check.prove(self.url, canary)
            self._running = replace(before if error else wanted, loaded_at=loaded_at, error=error)
        self._judge(desired, fault, answers)
        self._report(began, desired, before, reloaded=True)
        return True

    def _judge(
        self, desired: DesiredState, fault: Fault, answers: Mapping[str, ServerFacts]
    ) -> None:
        """Say whether the error that there is, if there is one, is a failure to follow."""
        is_silent = bool(self._running.error) and fault is Fault.UNANSWERED
        # Who hears nobody does not know that it is the server's silence.
        if not is_silent or not answers:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = self.around.clock.monotonic()
        if not self._running.error:
            return
        since, now = self._silent_since, self.around.clock.monotonic()
        has_failed = fault is Fault.REFUSED or (since is not None and now - since >= SILENCE_S)
        self._running = replace(self._running, failed_at=desired.version if has_failed else 0)

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
            raise _NotReloadedError(NOT_CONFIRMED, Fault.UNANSWERED)
        is_as_before = facts is not None and after.config_loaded_at == facts.config_loaded_at
        if is_as_before or after.material != material.digest:
            raise _NotReloadedError(NOT_LOADED, Fault.PENDING)
        return after.config_loaded_at

    def _started_with(self, material: PublishedMaterial, facts: ServerFacts) -> bool:
        is_new_here = self._running.material != material.digest
        return facts.material == material.digest and (is_new_here or self._is_untouched(facts))

    async def _request(self, facts: ServerFacts) -> None:
        try:
            error = await self.tools.system.reload(facts.server_id)
        except (BusError, AccessDeniedError, RejectedError) as err:
            raise _NotReloadedError(f"reload not confirmed: {err}", Fault.UNANSWERED) from err
        if error:
            raise _NotReloadedError(f"reload refused: {error}", Fault.REFUSED)

    async def _ask(self) -> ServerFacts | None:
        try:
            return (await self.tools.system.fetch_facts()).get(self.name)
        except (BusError, AccessDeniedError, RejectedError):
            return None

    async def _signal(self) -> None:
        try:
            is_running = await self.tools.signal.signal()
        except SvcError as err:
            raise _NotReloadedError(f"cannot be signalled: {err}", Fault.UNANSWERED) from err
        if not is_running:
            raise _NotReloadedError(NOT_RUNNING, Fault.PENDING)

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
        if self._running.failed_at and not before.failed_at:
            log.error("server.failed", server=self.name, version=desired.version, reason=error)
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
