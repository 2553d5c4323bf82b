"""Keeping the roots: the first one found, the next one made, trusted and used, the last put away.

The reconciler asks here before each look at the issuers. What can be repeated happens before the
journal is written (OpenBao finds earlier work), what cannot be undone happens between the audit
entry and the journal, of a root that the journal already calls retired.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import structlog

from services.metadata.domain import root_rotation as steps
from services.metadata.domain.audit import Note
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.journal import Journal
from services.metadata.domain.root_rotation import RootStep, plan_roots
from services.metadata.domain.roots import FIRST_ROOT
from services.metadata.domain.rotation_steps import Hold
from services.metadata.flows.journal_keeping import JournalKeeper
from services.metadata.flows.rotation_metrics import IssuanceMetrics
from services.metadata.ports import MintedRoot, RootMint
from svc_core.domain.desired import TrustMode
from svc_core.errors import AccessDeniedError, NotFoundError, RequestRefusedError
from svc_core.runtime.surroundings import Surroundings

log = structlog.get_logger()

_REFUSED: Final = (AccessDeniedError, NotFoundError, RequestRefusedError)
"""What OpenBao will say again to the same request, so that issuers must not wait for it."""


class RootKeeper:
    """Takes the steps that `plan_roots` asks for."""

    def __init__(
        self,
        keeper: JournalKeeper,
        mint: RootMint,
        mode: TrustMode,
        around: Surroundings,
        metrics: IssuanceMetrics,
    ) -> None:
        self._keeper = keeper
        self._mint = mint
        self._mode = mode
        self._around = around
        self._metrics = metrics
        self._failure = ""
        self._again_at_s = 0.0
        self.held = ""
        """Why the next step has to wait; empty when nothing is waited for."""
        self._takers: Mapping[type[RootStep], Callable[[Any], Awaitable[None]]] = {
            steps.PlanRoot: self._plan,
            steps.MakeRoot: self._make,
            steps.UseRoot: self._use,
            steps.RetireRoot: self._retire,
            steps.RemoveRoot: self._remove,
        }

    async def settle(self) -> None:
        """Have the journal know the first root, and the trust mode that is set.

        Raises:
            NotFoundError: OpenBao was not set up with a root.
            SvcError: it is not known whether it was written; look again.
        """
        journal, now = self._keeper.journal, self._around.clock.now()
        if not journal.roots.known:
            found = await self._mint.fetch(FIRST_ROOT)
            roots = journal.roots.adopted(
                pem=found.pem, key=found.key, not_after=found.not_after, now=now
            )
            facts = _facts(found)
            await self._write(journal.with_roots(roots), "root.adopted", FIRST_ROOT, **facts)
            log.info("root.adopted", root=FIRST_ROOT, not_after=found.not_after.isoformat())
        if self._keeper.journal.trust_mode is not self._mode:
            journal = self._keeper.journal.with_trust_mode(self._mode)
            await self._write(journal, "trust.mode_changed", self._mode, version=journal.version)
            log.info("trust.mode_changed", mode=self._mode.value)

    async def step(self, fleet: Fleet) -> bool:
        """Take the next step, if there is one that need not wait; return whether it was taken.

        What OpenBao refuses is tried again every heartbeat, and holds nothing but the roots.

        Raises:
            StaleWriteError, SecretStoreError: nobody may act now; look again.
        """
        now, profile = self._around.clock.now(), self._around.profile
        step = plan_roots(self._keeper.journal, fleet, now, profile)
        if step is None or isinstance(step, Hold):
            self.held = step.reason if step else ""
            return False
        if self._failure and self._around.clock.monotonic() < self._again_at_s:
            return False
        try:
            await self._takers[type(step)](step)
        except _REFUSED as err:
            self._note_failure(str(err))
            return False
        self._failure = self.held = ""
        return True

    def _note_failure(self, reason: str) -> None:
        self._metrics.root_refused.inc()
        if reason != self._failure:
            log.error("root.refused", reason=reason)
        self._failure = self.held = reason
        beat_s = self._around.profile.heartbeat.total_seconds()
        self._again_at_s = self._around.clock.monotonic() + beat_s

    async def _write(self, journal: Journal, kind: str, name: str, **facts: object) -> None:
        texts = {key: str(value) for key, value in facts.items()}
        await self._keeper.write(journal, Note(kind, name, texts))

    async def _plan(self, _step: steps.PlanRoot) -> None:
        journal = self._keeper.journal
        roots = journal.roots.planned(now=self._around.clock.now())
        await self._write(journal.with_roots(roots), "root.planned", roots.known[-1].name)

    async def _make(self, step: steps.MakeRoot) -> None:
        made = await self._mint.make(step.name)
        journal, now = self._keeper.journal, self._around.clock.now()
        version = journal.version + 1
        roots = journal.roots.staged(
            step.name,
            pem=made.pem,
            key=made.key,
            not_after=made.not_after,
            now=now,
            version=version,
        )
        staged = journal.with_roots(roots, version=version)
        await self._write(staged, "root.staged", step.name, version=version, **_facts(made))
        log.info("root.staged", root=step.name, not_after=made.not_after.isoformat())

    async def _use(self, step: steps.UseRoot) -> None:
        journal, now = self._keeper.journal, self._around.clock.now()
        former = journal.roots.signing.name if journal.roots.signing is not None else ""
        roots = journal.roots.activated(step.name, now=now)
        await self._write(journal.with_roots(roots), "root.activated", step.name, former=former)
        log.info("root.activated", root=step.name, former=former)

    async def _retire(self, step: steps.RetireRoot) -> None:
        journal, now = self._keeper.journal, self._around.clock.now()
        version = journal.version + 1
        roots = journal.roots.retired(step.name, now=now, version=version)
        changed = journal.with_roots(roots, version=version)
        await self._write(changed, "root.retired", step.name, version=version)
        log.info("root.retired", root=step.name)

    async def _remove(self, step: steps.RemoveRoot) -> None:
        journal = self._keeper.journal
        delete = partial(self._mint.remove, step.name, journal.roots.root(step.name).key)
        changed = journal.with_roots(journal.roots.removed(step.name))
        await self._keeper.write(changed, Note("root.removed", step.name), delete)
        log.info("root.removed", root=step.name)


def _facts(root: MintedRoot) -> Mapping[str, str]:
    """Return what the audit log keeps of a root, whose certificate is not kept for ever."""
    return {"not_after": root.not_after.isoformat(), "sha256": root.fingerprint}
