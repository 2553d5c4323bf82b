"""The reconciler: look, take one idempotent step, journal it, look again.

Only the holder of the lease decides; every other replica watches the lease and answers pulls. What
the operator orders is done between two looks, so that nothing changes the journal under a step.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from services.metadata.domain.audit import Note
from services.metadata.domain.ca_recovery import go_back
from services.metadata.domain.ca_rotation import SilencePolicy, next_deadline, plan
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.journal import Journal
from services.metadata.domain.rotation_steps import Hold
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.announcing import Announcer, desired_state
from services.metadata.flows.audit_keeping import AuditLog
from services.metadata.flows.fleet_watching import FleetWatch
from services.metadata.flows.journal_keeping import JournalKeeper
from services.metadata.flows.root_keeping import RootKeeper
from services.metadata.flows.rotation_metrics import IssuanceMetrics
from services.metadata.flows.step_taking import CanaryProof, StepTaker, StepTools
from services.metadata.ports import IssuerMint
from svc_core.errors import SecretStoreError, StaleWriteError, SvcError
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup

log = structlog.get_logger()

Change = Callable[[Journal], tuple[Journal, Note]]
"""Says what an order makes of the journal, or raises what refuses it."""

_LOOK_CLOSELY_S: Final = 0.1
_LOOK_AGAIN_S: Final = 1.0
_STORE_AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class RotationTools:
    """What the reconciler looks with and acts with."""

    keeper: JournalKeeper
    mint: IssuerMint
    fleet: FleetWatch
    announcer: Announcer
    proof: CanaryProof
    audit: AuditLog
    roots: RootKeeper
    when_silent: SilencePolicy = SilencePolicy.QUORUM


@dataclass(frozen=True, slots=True)
class _Order:
    change: Change
    done: asyncio.Future[None]


class CaRotator:
    """The loop that rotates the intermediate CA."""

    name: Final = "ca_rotation"

    def __init__(
        self, tools: RotationTools, acls: AclSource, around: Surroundings, metrics: IssuanceMetrics
    ) -> None:
        self._keeper = tools.keeper
        self._roots = tools.roots
        self._fleet = tools.fleet
        self._announcer = tools.announcer
        self._when_silent = tools.when_silent
        step_tools = StepTools(tools.keeper, tools.mint, tools.proof, tools.audit)
        self._taker = StepTaker(step_tools, acls, around, metrics)
        self._acls = acls
        self._around = around
        self._metrics = metrics
        self._stored_version = -1
        self._is_read = False
        self._held = ""
        self._orders: list[_Order] = []
        self.fleet = Fleet(())
        """Who was known to be live at the last look; there may be others."""
        self.hinted = Wakeup()
        """Set to look at once."""

    @property
    def journal(self) -> Journal:
        """The journal as of the last look."""
        return self._keeper.journal

    @property
    def is_holder(self) -> bool:
        """Whether this process decides."""
        return self._keeper.is_holder

    @property
    def held(self) -> str:
        """What the last look had to wait for; empty when nothing."""
        return self._held

    async def run(self) -> None:
        """Reconcile for ever, as long as this process holds the lease; else watch the lease."""
        self._is_read = False
        while True:
            try:
                if await self._look():
                    continue
                pause_s = self._pause_s()
            except SecretStoreError as err:
                # Asked again at this loop's own pace, so that it goes on soon after the return.
                # What was being written may be there or not: all is read again.
                self._is_read = False
                self._metrics.failed.inc()
                self._note_held(str(err))
                self._around.health.fail(self.name, str(err))
                pause_s = _STORE_AGAIN_S
            await self.hinted.wait(pause_s)

    async def order(self, change: Change) -> None:
        """Have ``change`` applied to the journal between two looks, and wait until it is.

        Raises:
            StaleWriteError: another replica holds the lease; it is the one to ask.
            SvcError: ``change`` was refused, or it is not known whether it was written.
        """
        order = _Order(change, asyncio.get_running_loop().create_future())
        self._orders.append(order)
        self.hinted.set()
        await order.done

    async def _look(self) -> bool:
        """Look once and return whether something was done, so that there may be more to do."""
        if not self._is_read:
            await self._keeper.load()
            await self._acls.settled()
            self._is_read = True
        if not await self._keeper.hold():
            self._stand_by()
            return False
        moved = await self._reconcile()
        self._around.health.beat(self.name, self._held)
        return moved

    async def _reconcile(self) -> bool:
        await self._roots.settle()
        await self._follow_orders()
        await self._follow_acl()
        await self._store_desired()
        fleet = await self._fleet.observe() or Fleet(())
        self.fleet = self._fleet.heard()
        now, profile = self._around.clock.now(), self._around.profile
        # One failure is enough to go back, whoever else cannot be read.
        undo = go_back(self._keeper.journal, self._fleet.heard(), now, profile)
        if undo is None and await self._roots.step(fleet):
            await self._store_desired()
            return True
        step = undo or plan(self._keeper.journal, fleet, now, profile, self._when_silent)
        if step is None or isinstance(step, Hold):
            self._note_held(step.reason if step else self._roots.held)
            return False
        try:
            refused = await self._taker.take(step)
        except SecretStoreError:
            raise
        except SvcError:
            self._metrics.failed.inc()
            raise
        self._note_held(refused or self._roots.held)
        await self._store_desired()
        return not refused

    def _stand_by(self) -> None:
        holder = self._keeper.journal.lease.holder
        self._stored_version = -1
        self._note_held("")
        self._around.health.beat(self.name, f"standing by: {holder} holds the lease")
        while self._orders:
            order = self._orders.pop(0)
            _fail(order, StaleWriteError(f"{holder} holds the lease"))

    async def _follow_orders(self) -> None:
        while self._orders:
            order = self._orders.pop(0)
            try:
                changed, note = order.change(self._keeper.journal)
                if changed != self._keeper.journal:
                    await self._keeper.write(changed, note)
            except SvcError as err:
                _fail(order, err)
                if isinstance(err, StaleWriteError):
                    raise
            else:
                if not order.done.done():
                    order.done.set_result(None)

    async def _follow_acl(self) -> None:
        digest = self._acls.digest
        journal = self._keeper.journal
        if journal.active is not None and journal.grants_digest != digest:
            changed = journal.with_grants(digest)
            revoked = ", ".join(sorted(self._acls.revoked))
            facts = {"version": str(changed.version), "revoked": revoked}
            await self._keeper.write(changed, Note("grants.changed", digest, facts))

    async def _store_desired(self) -> None:
        journal = self._keeper.journal
        if journal.active is None or journal.version <= self._stored_version:
            return
        state = desired_state(journal, self._acls, self._around)
        await self._announcer.store(state)
        self._stored_version = state.version

    def _note_held(self, reason: str) -> None:
        self._metrics.held.set(1 if reason else 0)
        if reason and not self._held:
            log.info("rotation.held", reason=reason)
        self._held = reason

    def _pause_s(self) -> float:
        if self._held and self._keeper.is_holder:
            return _LOOK_CLOSELY_S
        now = self._around.clock.now()
        deadline = next_deadline(self._keeper.journal, now, self._around.profile)
        return min(max((deadline - now).total_seconds(), 0.005), _LOOK_AGAIN_S)


def _fail(order: _Order, err: SvcError) -> None:
    if not order.done.done():
        order.done.set_exception(err)
