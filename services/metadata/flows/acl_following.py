"""Following the ACL manifest: a good one is taken over whole, anything else changes nothing.

A manifest that is refused, deleted or cannot be read leaves the last good one in force. That is
logged once for each change of the manifest, and stays in the health detail of this loop.
"""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import Final

import structlog

from services.metadata.domain.key_generations import acl_digest
from services.metadata.ports import AclManifest
from svc_core.domain.acl import Acl
from svc_core.domain.acl_diff import AclDiff, diff_acls
from svc_core.domain.acl_entries import Severity
from svc_core.domain.identity import ServiceName
from svc_core.errors import ConfigError, DependencyError
from svc_core.runtime.health import Health
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire import acl_manifest
from svc_core.wire.acl_manifest import JudgedManifest, Problem

log = structlog.get_logger()

Known = frozenset[ServiceName]

_MOST_REPORTED: Final = 50
"""Remarks on one version of a manifest in the log; `securetransport plan acl` prints them all."""
_KEPT: Final = "the last good one stays in force"


class ManifestUnreadableError(DependencyError):
    """The manifest is there and cannot be read now; what it granted stays granted."""

    code = "acl.unreadable"
    advice = "check the rights of the file and of the directories above it"


class AclSource:
    """The rights as of now: those of the manifest, without the services that are revoked.

    Replaced as a whole, never changed.
    """

    def __init__(self, acl: Acl, *, revoked: frozenset[ServiceName] | None = frozenset()) -> None:
        """Begin with the manifest's ``acl``.

        Args:
            acl: what the manifest says.
            revoked: who gets nothing all the same; None while that has yet to be read.
        """
        self._stated = acl
        self._revoked = revoked or frozenset()
        self._current = _without(acl, self._revoked)
        self._digest = acl_digest(self._current, self._revoked)
        self._waiting: list[Wakeup] = []
        self._is_settled = asyncio.Event()
        if revoked is not None:
            self._is_settled.set()

    @property
    def stated(self) -> Acl:
        """The last good manifest, revoked services and all."""
        return self._stated

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

    async def settled(self) -> None:
        """Wait until it is known who is revoked; before that nothing may be granted."""
        await self._is_settled.wait()

    def wake(self, *waiting: Wakeup) -> None:
        """Set these whenever there are other rights."""
        self._waiting += waiting

    def replace(self, acl: Acl) -> None:
        """Take over the manifest's ``acl``."""
        self._stated = acl
        self._refresh()

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
        for wakeup in self._waiting:
            wakeup.set()


def _without(acl: Acl, revoked: frozenset[ServiceName]) -> Acl:
    if revoked.isdisjoint(acl.services):
        return acl
    return Acl({service: p for service, p in acl.services.items() if service not in revoked})


class AclFollower:
    """The loop that reads the manifest whenever it may have changed."""

    name: Final = "acl_following"

    def __init__(
        self, manifest: AclManifest, source: AclSource, known: Known, health: Health
    ) -> None:
        self._manifest = manifest
        self._source = source
        self._known = known
        self._health = health
        self._judged: bytes | None = None
        self._has_judged = False
        self._is_kept = False
        """Whether the last good one is in force for want of another."""
        self._detail = ""

    async def run(self) -> None:
        """Follow for ever.

        Raises:
            ManifestUnreadableError: it cannot be read now; what it granted stays granted.
        """
        try:
            async with aclosing(self._manifest.follow()) as versions:
                async for raw in versions:
                    if not self._has_judged or raw != self._judged:
                        await self._consider(raw)
                        self._judged, self._has_judged = raw, True
                    self._health.beat(self.name, self._detail)
        except ConfigError as err:
            raise ManifestUnreadableError(f"{err}; {_KEPT}") from err

    async def _consider(self, raw: bytes | None) -> None:
        if raw is None:
            log.warning("acl.missing", manifest=self._manifest.name)
            self._keep(f"{self._manifest.name} is missing")
            return
        # Seconds for tens of thousands of entries, and messages must flow meanwhile.
        judged = await asyncio.to_thread(acl_manifest.decode, raw, known=self._known)
        if judged.acl is None:
            lines = _described(judged.errors, self._manifest.name)
            log.warning(
                "acl.refused", errors=len(lines), reason=lines[0], problems=lines[:_MOST_REPORTED]
            )
            self._keep(f"refused, {len(lines)} errors, the first: {lines[0]}")
            return
        self._report_remarks(judged)
        self._take_over(judged.acl)

    def _keep(self, why: str) -> None:
        self._is_kept = True
        self._detail = f"{why}; {_KEPT}"

    def _take_over(self, acl: Acl) -> None:
        self._detail = f"services: {len(acl.services)}"
        if self._is_kept:
            self._is_kept = False
            log.info("acl.recovered", manifest=self._manifest.name)
        diff = diff_acls(self._source.stated, acl)
        if diff.is_empty:
            return
        self._source.replace(acl)
        log.info(
            "acl.changed",
            added=diff.services_added,
            removed=diff.services_removed,
            altered=_altered(diff),
            granted=len(diff.granted),
            withdrawn=len(diff.withdrawn),
            topics_to_roll=len(diff.topics_to_roll),
            bundles=diff.bundles,
            nats_users=diff.nats_users,
        )

    def _report_remarks(self, judged: JudgedManifest) -> None:
        warnings = judged.warnings
        remarks = [(w, w.remark) for w in warnings[:_MOST_REPORTED] if w.remark is not None]
        for warning, remark in remarks:
            is_ignored = remark.severity is Severity.IGNORED
            log.warning(
                "acl.entry_ignored" if is_ignored else "acl.entry_doubtful",
                of=remark.service,
                entry=remark.entry or "*",
                reason=remark.finding.reason,
                place=f"{self._manifest.name}:{warning.line}:{warning.column}",
            )
        if len(warnings) > _MOST_REPORTED:
            log.warning("acl.remarks_omitted", omitted=len(warnings) - _MOST_REPORTED)


async def read_acl(manifest: AclManifest, *, known: Known) -> Acl:
    """Return the ACL as it is now, to begin with; what it says in vain its follower reports.

    Raises:
        ConfigError: there is none, or it has mistakes: one line for each.
        KubernetesError, AccessDeniedError: it cannot be read now.
    """
    async with aclosing(manifest.follow()) as versions:
        raw = await anext(versions)
    if raw is None:
        raise ConfigError(f"{manifest.name}: there is no ACL manifest")
    judged = await asyncio.to_thread(acl_manifest.decode, raw, known=known)
    if judged.acl is None:
        raise ConfigError("\n".join(_described(judged.errors, manifest.name)))
    return judged.acl


def _described(problems: Iterable[Problem], name: str) -> list[str]:
    return [problem.described(name) for problem in problems]


def _altered(diff: AclDiff) -> list[ServiceName]:
    others = {*diff.services_added, *diff.services_removed}
    return sorted({right.service for right in (*diff.granted, *diff.withdrawn)} - others)
