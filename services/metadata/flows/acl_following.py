"""Following the ACL manifest: a good one is taken over whole, anything else changes nothing.

A manifest that is refused, deleted or cannot be read leaves the last good one in force, also over a
restart: `RightsKeeper` has it in OpenBao. That is logged and counted once for each change of the
manifest, and stays in the health detail of this loop, which is well all the same.
"""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import Final, Protocol

import structlog

from services.metadata.domain.key_generations import acl_digest
from services.metadata.flows.manifest_metrics import (
    MANIFEST_MISSING,
    MANIFEST_REFUSED,
    MANIFEST_UNREADABLE,
    ManifestMetrics,
)
from services.metadata.flows.manifest_remarks import MOST_REPORTED, report_remarks
from services.metadata.ports import AclManifest
from svc_core.domain.acl import Acl
from svc_core.domain.identity import ServiceName
from svc_core.errors import ConfigError, DependencyError, SvcError
from svc_core.runtime.health import Health
from svc_core.runtime.interpreter import collection_paused
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire import acl_manifest
from svc_core.wire.acl_manifest import JudgedManifest, Problem

log = structlog.get_logger()

Known = frozenset[ServiceName]

_KEPT: Final = "the last good one stays in force"
_NOTHING: Final = Acl({})


class ManifestUnreadableError(DependencyError):
    """The manifest is there and cannot be read now; what it granted stays granted."""

    code = "acl.unreadable"
    advice = "check the rights of the file and of the directories above it"


class AclSource:
    """The rights as of now: those of the manifest, without the services that are revoked.

    Replaced as a whole, never changed.
    """

    def __init__(
        self, acl: Acl | None, *, revoked: frozenset[ServiceName] | None = frozenset()
    ) -> None:
        """Begin with the manifest's ``acl``.

        Args:
            acl: what the manifest says; None while it has yet to be found out what is in force.
            revoked: who gets nothing all the same; None while that has yet to be read.
        """
        self._stated = acl or _NOTHING
        self._revoked = revoked or frozenset()
        self._current = _without(self._stated, self._revoked)
        self._digest = acl_digest(self._current, self._revoked)
        self._waiting: list[Wakeup] = []
        self._is_given = asyncio.Event()
        self._is_settled = asyncio.Event()
        if acl is not None:
            self._is_given.set()
        if revoked is not None:
            self._is_settled.set()

    @property
    def given(self) -> Acl | None:
        """The last good manifest, revoked services and all; None before the first."""
        return self._stated if self._is_given.is_set() else None

    @property
    def current(self) -> Acl:
        """The rights that are granted."""
        return self._current

    @property
    def digest(self) -> str:
        """Changes with the rights and with who is revoked; made once per change."""
        return self._digest

    @property
    def revoked(self) -> frozenset[ServiceName]:
        """Services that get nothing, whatever the manifest says."""
        return self._revoked

    async def known(self) -> None:
        """Wait until there are rights at all; before that nothing may be made for them."""
        await self._is_given.wait()

    async def settled(self) -> None:
        """Wait until there are rights, and who is revoked is known; till then nobody gets any."""
        await self._is_given.wait()
        await self._is_settled.wait()

    def wake(self, *waiting: Wakeup) -> None:
        """Set these whenever there are other rights."""
        self._waiting += waiting

    def replace(self, acl: Acl) -> None:
        """Take over the manifest's ``acl``."""
        self._stated = acl
        self._refresh()
        self._is_given.set()

    async def adopt(self, acl: Acl) -> None:
        """Do the same for one that may be large: what takes milliseconds is done on a thread."""
        revoked: frozenset[ServiceName] | None = None
        while revoked != self._revoked:
            revoked = self._revoked
            current = _without(acl, revoked)
            digest = await asyncio.to_thread(acl_digest, current, revoked)
        self._stated, self._current, self._digest = acl, current, digest
        self._wake()
        self._is_given.set()

    def withhold(self, revoked: frozenset[ServiceName]) -> None:
        """Grant nothing to ``revoked``, and to the others what the manifest says."""
        is_news = revoked != self._revoked
        self._revoked = revoked
        if is_news:
            self._refresh()
        self._is_settled.set()

    def _refresh(self) -> None:
        self._current = _without(self._stated, self._revoked)
        self._digest = acl_digest(self._current, self._revoked)
        self._wake()

    def _wake(self) -> None:
        for wakeup in self._waiting:
            wakeup.set()


def _without(acl: Acl, revoked: frozenset[ServiceName]) -> Acl:
    if revoked.isdisjoint(acl.services):
        return acl
    return Acl({service: p for service, p in acl.services.items() if service not in revoked})


class Rights(Protocol):
    """Who is told what the manifest says; see `services.metadata.flows.rights_keeping`."""

    async def propose(self, acl: Acl) -> None:
        """Have the rights of a good manifest granted; may raise `SecretStoreError`."""
        ...

    def go_without(self, fault: str, fatal: ConfigError | None = None) -> None:
        """Go on without a manifest, for now or, with ``fatal``, until somebody mends it."""
        ...


class AclFollower:
    """The loop that reads the manifest whenever it may have changed."""

    name: Final = "acl_following"

    def __init__(
        self,
        manifest: AclManifest,
        rights: Rights,
        known: Known,
        health: Health,
        metrics: ManifestMetrics,
    ) -> None:
        self._manifest = manifest
        self._rights = rights
        self._known = known
        self._health = health
        self._metrics = metrics
        self._judged: bytes | None = None
        self._has_judged = False
        self._is_unreadable = False
        self._is_kept = False
        """Whether the last good one is in force for want of another."""
        self._detail = ""

    async def run(self) -> None:
        """Follow for ever.

        Raises:
            ManifestUnreadableError: it cannot be read now; what it granted stays granted.
            SecretStoreError: what it grants could not be stored, so it is not in force yet.
        """
        is_read = False
        try:
            async with aclosing(self._manifest.follow()) as versions:
                async for raw in versions:
                    is_read, self._is_unreadable = True, False
                    if not self._has_judged or raw != self._judged:
                        await self._consider(raw)
                        self._judged, self._has_judged = raw, True
                    self._health.beat(self.name, self._detail)
        except ConfigError as err:
            # What has just been read counts, though no later change of it may be seen.
            if not is_read:
                self._keep_unread(err)
            raise ManifestUnreadableError(f"{err}; {_KEPT}") from err
        except SvcError as err:
            self._rights.go_without(f"{self._manifest.name} cannot be read now: {err}")
            raise

    def _keep_unread(self, err: ConfigError) -> None:
        if not self._is_unreadable:
            self._metrics.refused(MANIFEST_UNREADABLE)
        # Judged anew when it can be read again, though it may be the same.
        self._is_unreadable, self._has_judged = True, False
        self._keep(str(err), err)
        self._health.beat(self.name, self._detail)

    async def _consider(self, raw: bytes | None) -> None:
        if raw is None:
            log.warning("acl.missing", manifest=self._manifest.name)
            self._metrics.refused(MANIFEST_MISSING)
            fatal = ConfigError(f"{self._manifest.name}: there is no ACL manifest")
            self._keep(f"{self._manifest.name} is missing", fatal)
            return
        # Seconds for tens of thousands of entries, and messages must flow meanwhile.
        judged = await asyncio.to_thread(judge_manifest, raw, self._known)
        if judged.acl is None:
            lines = _described(judged.errors, self._manifest.name)
            log.warning(
                "acl.refused", errors=len(lines), reason=lines[0], problems=lines[:MOST_REPORTED]
            )
            self._metrics.refused(MANIFEST_REFUSED)
            why = f"refused, {len(lines)} errors, the first: {lines[0]}"
            self._keep(why, ConfigError("\n".join(lines)))
            return
        await self._rights.propose(judged.acl)
        report_remarks(judged, self._manifest.name)
        self._detail = f"services: {len(judged.acl.services)}"
        if self._is_kept:
            self._is_kept = False
            log.info("acl.recovered", manifest=self._manifest.name)

    def _keep(self, why: str, fatal: ConfigError) -> None:
        self._is_kept = True
        self._detail = f"{why}; {_KEPT}"
        self._rights.go_without(why, fatal)


def _described(problems: Iterable[Problem], name: str) -> list[str]:
    return [problem.described(name) for problem in problems]


def judge_manifest(raw: bytes, known: Known) -> JudgedManifest:
    """Return what ``raw`` says; it takes seconds for tens of thousands of entries."""
    with collection_paused():
        return acl_manifest.decode(raw, known=known)
