"""The reconciler: look, take one idempotent step, journal it, look again.

Order within a step: what can be repeated happens first (OpenBao finds earlier work), then the
journal is written with check-and-set, then the desired state that follows from it is stored. A
crash anywhere leaves something the next look completes.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from services.metadata.domain import ca_rotation
from services.metadata.domain.ca_rotation import Hold, Step, next_deadline, plan
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.key_generations import acl_digest
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.announcing import Announcer, desired_state
from services.metadata.flows.fleet_watching import FleetWatch
from services.metadata.flows.journal_keeping import JournalKeeper
from services.metadata.flows.rotation_metrics import IssuanceMetrics
from services.metadata.ports import IssuerMint, ServerProof
from svc_core.domain.desired import DesiredState
from svc_core.errors import SvcError
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup

log = structlog.get_logger()

_LOOK_CLOSELY_S: Final = 0.1
_LOOK_AGAIN_S: Final = 1.0


class CanaryProof:
    """Proves that every server trusts an issuer, with a leaf of it that may do nothing."""

    def __init__(self, issuing: LeafIssuing, servers: ServerProof, spec: LeafSpec) -> None:
        self._issuing = issuing
        self._servers = servers
        self._spec = spec

    async def prove(self, state: DesiredState, issuer: str) -> tuple[str, ...]:
        """Return the servers that refused a canary of ``issuer``, with reasons."""
        canary = await self._issuing.issue(self._spec, state, issuer)
        return tuple(await self._servers.prove(canary))


@dataclass(frozen=True, slots=True)
class RotationTools:
    """What the reconciler looks with and acts with."""

    keeper: JournalKeeper
    mint: IssuerMint
    fleet: FleetWatch
    announcer: Announcer
    proof: CanaryProof


class CaRotator:
    """The loop that rotates the intermediate CA."""

    name: Final = "ca_rotation"

    def __init__(
        self, tools: RotationTools, acls: AclSource, around: Surroundings, metrics: IssuanceMetrics
    ) -> None:
        self._keeper = tools.keeper
        self._mint = tools.mint
        self._fleet = tools.fleet
        self._announcer = tools.announcer
        self._proof = tools.proof
        self._acls = acls
        self._around = around
        self._metrics = metrics
        self._root_pem = ""
        self._stored_version = -1
        self._held = ""
        self._trust_took: dict[str, float] = {}
        self.hinted = Wakeup()
        """Set to look at once."""

    async def run(self) -> None:
        """Reconcile for ever."""
        self._root_pem = await self._mint.fetch_root()
        await self._keeper.load()
        while True:
            moved = await self._reconcile()
            self._around.health.beat(self.name, self._held)
            if not moved:
                await self.hinted.wait(self._pause_s())

    async def _reconcile(self) -> bool:
        await self._follow_acl()
        await self._store_desired()
        fleet = await self._fleet.observe() or Fleet(())
        now = self._around.clock.now()
        step = plan(self._keeper.journal, fleet, now, self._around.profile)
        if step is None or isinstance(step, Hold):
            self._note_held(step.reason if step else "")
            return False
        try:
            moved = await self._take(step, now)
        except SvcError:
            self._metrics.failed.inc()
            raise
        if moved:
            self._note_held("")
        await self._store_desired()
        return moved

    async def _follow_acl(self) -> None:
        digest = acl_digest(self._acls.current)
        journal = self._keeper.journal
        if journal.active is not None and journal.grants_digest != digest:
            await self._keeper.write(journal.with_grants(digest))

    async def _store_desired(self) -> None:
        journal = self._keeper.journal
        if journal.active is None or journal.version <= self._stored_version:
            return
        state = desired_state(journal, self._acls.current, self._root_pem, self._around)
        await self._announcer.store(state)
        self._stored_version = state.version

    async def _take(self, step: Step, now: datetime) -> bool:
        journal = self._keeper.journal
        match step:
            case ca_rotation.Plan(epoch):
                self._metrics.attempts.inc()
                await self._keeper.write(journal.planned(epoch, now=now))
            case ca_rotation.Mint(name):
                await self._mint_issuer(journal, name)
            case ca_rotation.MarkTrusted(name):
                await self._mark_trusted(journal, name, now)
            case ca_rotation.Activate(name, proven):
                return await self._activate(journal, name, proven=proven)
            case _:
                await self._put_away(step, journal, now)
        return True

    async def _put_away(self, step: Step, journal: Journal, now: datetime) -> None:
        match step:
            case ca_rotation.MarkDrained(name):
                await self._mark_drained(journal, name, now)
            case ca_rotation.Kick(name):
                await self._keeper.write(journal.with_kicked(name))
                log.warning("issuer.kicked", issuer=name)
            case ca_rotation.Retire(name):
                await self._keeper.write(journal.retired(name, now=now))
                log.info("issuer.retired", issuer=name)
            case ca_rotation.Remove(name):
                await self._mint.remove(name)
                await self._keeper.write(journal.removed(name))
                log.info("issuer.removed", issuer=name)

    async def _mint_issuer(self, journal: Journal, name: str) -> None:
        began = self._around.clock.monotonic()
        minted = await self._mint.mint(name)
        now = self._around.clock.now()
        await self._keeper.write(
            journal.staged(
                name,
                pem=minted.pem,
                route_pem=minted.route_pem,
                not_after=minted.not_after,
                now=now,
            )
        )
        elapsed = self._around.clock.monotonic() - began
        self._metrics.generation.observe(elapsed)
        log.info("issuer.staged", issuer=name, elapsed_ms=round(elapsed * 1000, 1))

    async def _mark_trusted(self, journal: Journal, name: str, now: datetime) -> None:
        took = (now - journal.issuer(name).since).total_seconds()
        self._trust_took[name] = took
        await self._keeper.write(journal.moved(name, IssuerState.TRUSTED, now=now))
        log.info("issuer.trusted", issuer=name, elapsed_ms=round(took * 1000, 1))

    async def _activate(self, journal: Journal, name: str, *, proven: bool) -> bool:
        if proven:
            # The acknowledgements were just recounted; now every server has to show it itself.
            state = desired_state(journal, self._acls.current, self._root_pem, self._around)
            failures = await self._proof.prove(state, name)
            if failures:
                self._note_held(f"canary of {name} refused: {'; '.join(failures)}")
                return False
        await self._keeper.write(journal.activated(name, now=self._around.clock.now()))
        self._metrics.current_epoch.set(journal.issuer(name).epoch)
        log.info("issuer.activated", issuer=name, proven=proven)
        return True

    async def _mark_drained(self, journal: Journal, name: str, now: datetime) -> None:
        await self._keeper.write(journal.moved(name, IssuerState.DRAINED, now=now))
        active = journal.active
        log.info("issuer.drained", issuer=name)
        if active is None or len(journal.in_state(IssuerState.DRAINING)) > 1:
            return
        drained_took = (now - active.since).total_seconds()
        elapsed = drained_took + self._trust_took.pop(active.name, 0.0)
        self._metrics.success.inc()
        self._metrics.end_to_end.observe(elapsed)
        self._metrics.last_success.set(now.timestamp())
        log.info(
            "ca.rotated",
            epoch=active.epoch,
            issuer=active.name,
            boundary_at=active.since.isoformat(),
            completed_at=now.isoformat(),
            elapsed_ms=round(elapsed * 1000, 1),
        )

    def _note_held(self, reason: str) -> None:
        self._metrics.held.set(1 if reason else 0)
        if reason and not self._held:
            log.info("rotation.held", reason=reason)
        self._held = reason

    def _pause_s(self) -> float:
        if self._held:
            return _LOOK_CLOSELY_S
        now = self._around.clock.now()
        deadline = next_deadline(self._keeper.journal, now, self._around.profile)
        return min(max((deadline - now).total_seconds(), 0.005), _LOOK_AGAIN_S)
