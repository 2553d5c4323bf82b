"""Taking one step of the rotation: the audit entry first, then the effect, then the journal.

What can be repeated happens outside the journal (OpenBao finds earlier work), so a crash anywhere
leaves something the next look completes. Nothing is deleted in OpenBao before the journal says of
the issuer that nothing leads back from where it is.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from services.metadata.domain import rotation_steps as steps
from services.metadata.domain.audit import Note
from services.metadata.domain.issuers import Issuer, IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.rotation_steps import Step
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.announcing import desired_state
from services.metadata.flows.audit_keeping import AuditLog
from services.metadata.flows.journal_keeping import JournalKeeper
from services.metadata.flows.rotation_metrics import IssuanceMetrics
from services.metadata.ports import IssuerMint, ServerProof
from svc_core.domain.desired import DesiredState
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec
from svc_core.runtime.surroundings import Surroundings

log = structlog.get_logger()


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
class StepTools:
    """What steps are taken with."""

    keeper: JournalKeeper
    mint: IssuerMint
    proof: CanaryProof
    audit: AuditLog


class StepTaker:
    """Takes the steps that `ca_rotation.plan` asks for."""

    def __init__(
        self, tools: StepTools, acls: AclSource, around: Surroundings, metrics: IssuanceMetrics
    ) -> None:
        self._keeper = tools.keeper
        self._mint = tools.mint
        self._proof = tools.proof
        self._audit = tools.audit
        self._acls = acls
        self._around = around
        self._metrics = metrics
        self._trust_took: dict[str, float] = {}
        self._moved_at: dict[str, float] = {}
        """When issuers came into the state they are in, by the monotonic clock."""
        self._takers: Mapping[type[Step], Callable[[Any], Awaitable[None]]] = {
            steps.Plan: self._plan,
            steps.Mint: self._mint_issuer,
            steps.MarkTrusted: self._mark_trusted,
            steps.MarkDrained: self._mark_drained,
            steps.Kick: self._kick,
            steps.Retire: self._retire,
            steps.GoBack: self._go_back,
            steps.Unfence: self._unfence,
            steps.Silence: self._silence,
            steps.Withdraw: self._withdraw,
            steps.Remove: self._remove,
        }

    async def take(self, step: Step) -> str:
        """Take ``step``; return why it was not taken, empty when it was.

        Raises:
            SvcError: it was not taken, or it is not known whether; look again.
        """
        if isinstance(step, steps.Activate):
            return await self._activate(step)
        await self._takers[type(step)](step)
        return ""

    async def _write(self, journal: Journal, kind: str, name: str, **facts: object) -> None:
        texts = {key: str(value) for key, value in facts.items()}
        await self._keeper.write(journal, Note(kind, name, texts))

    async def _plan(self, step: steps.Plan) -> None:
        self._metrics.attempts.inc()
        journal = self._keeper.journal.planned(step.epoch, now=self._around.clock.now())
        await self._write(journal, "issuer.planned", journal.issuers[-1].name, epoch=step.epoch)

    async def _mint_issuer(self, step: steps.Mint) -> None:
        began = self._around.clock.monotonic()
        minted = await self._mint.mint(step.name, self._keeper.journal.issuer(step.name).root)
        now, made_at = self._around.clock.now(), self._around.clock.monotonic()
        journal = self._keeper.journal.staged(
            step.name,
            pem=minted.pem,
            route_pem=minted.route_pem,
            not_after=minted.not_after,
            now=now,
        )
        await self._write(
            journal,
            "issuer.staged",
            step.name,
            version=journal.version,
            not_after=minted.not_after.isoformat(),
            root=journal.issuer(step.name).root,
        )
        self._moved_at[step.name] = made_at
        elapsed = self._around.clock.monotonic() - began
        self._metrics.generation.observe(elapsed)
        log.info("issuer.staged", issuer=step.name, elapsed_ms=round(elapsed * 1000, 1))

    async def _mark_trusted(self, step: steps.MarkTrusted) -> None:
        journal, now = self._keeper.journal, self._around.clock.now()
        took = self._took(journal.issuer(step.name))
        moved = journal.moved(step.name, IssuerState.TRUSTED, now=now)
        await self._write(moved, "issuer.trusted", step.name)
        self._trust_took[step.name] = took
        log.info("issuer.trusted", issuer=step.name, elapsed_ms=round(took * 1000, 1))

    async def _activate(self, step: steps.Activate) -> str:
        journal = self._keeper.journal
        if step.proven:
            # The acknowledgements were just recounted; now every server has to show it itself.
            state = desired_state(journal, self._acls, self._around)
            failures = await self._proof.prove(state, step.name)
            if failures:
                return f"canary of {step.name} refused: {'; '.join(failures)}"
        now, begun_at = self._around.clock.now(), self._around.clock.monotonic()
        activated = journal.activated(step.name, now=now, cut=step.cut)
        former = journal.active.name if journal.active is not None else ""
        await self._write(
            activated,
            "issuer.activated",
            step.name,
            version=activated.version,
            proven=step.proven,
            former=former,
            **({"cut": ", ".join(sorted({c.service for c in step.cut}))} if step.cut else {}),
        )
        self._moved_at[step.name] = begun_at
        self._metrics.current_epoch.set(journal.issuer(step.name).epoch)
        log.info("issuer.activated", issuer=step.name, proven=step.proven, cut=len(step.cut))
        return ""

    async def _go_back(self, step: steps.GoBack) -> None:
        journal, now = self._keeper.journal, self._around.clock.now()
        epoch = self._around.profile.ca.current(now).number
        back = journal.went_back(step.name, now=now, epoch=epoch, fenced=step.fenced)
        failed = journal.active.name if journal.active is not None else ""
        resume = back.setback.resume
        await self._write(
            back,
            "issuer.went_back",
            step.name,
            failed=failed,
            reason=step.reason,
            resume=resume,
            fenced=", ".join(step.fenced),
        )
        self._metrics.current_epoch.set(back.issuer(step.name).epoch)
        log.error(
            "issuer.went_back",
            issuer=step.name,
            failed=failed,
            reason=step.reason,
            resume_epoch=resume,
            fenced=list(step.fenced),
        )

    async def _unfence(self, step: steps.Unfence) -> None:
        journal = self._keeper.journal.unfenced(step.servers)
        names = ", ".join(step.servers)
        await self._write(journal, "servers.unfenced", names, version=journal.version)
        log.info("servers.unfenced", servers=list(step.servers))

    async def _mark_drained(self, step: steps.MarkDrained) -> None:
        journal, now = self._keeper.journal, self._around.clock.now()
        moved = journal.moved(step.name, IssuerState.DRAINED, now=now)
        is_complete = len(journal.in_state(IssuerState.DRAINING)) == 1 and not journal.is_back
        if is_complete:
            moved = moved.completed()
        facts = {"completes": journal.active.name} if is_complete and journal.active else {}
        await self._write(moved, "issuer.drained", step.name, **facts)
        log.info("issuer.drained", issuer=step.name)
        if is_complete:
            self._report_rotated(journal)
            await self._audit.sign()

    def _report_rotated(self, journal: Journal) -> None:
        active, now = journal.active, self._around.clock.now()
        if active is None:
            return
        elapsed = self._took(active) + self._trust_took.pop(active.name, 0.0)
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

    def _took(self, issuer: Issuer) -> float:
        """Return for how many seconds ``issuer`` has been in its state; the wall clock may step."""
        moved_at = self._moved_at.pop(issuer.name, None)
        if moved_at is not None:
            return self._around.clock.monotonic() - moved_at
        return max((self._around.clock.now() - issuer.since).total_seconds(), 0.0)

    async def _kick(self, step: steps.Kick) -> None:
        journal = self._keeper.journal.with_kicked(step.name)
        await self._write(journal, "issuer.kicked", step.name, version=journal.version)
        log.warning("issuer.kicked", issuer=step.name)

    async def _retire(self, step: steps.Retire) -> None:
        journal = self._keeper.journal.retired(step.name, now=self._around.clock.now())
        await self._write(journal, "issuer.retired", step.name, version=journal.version)
        log.info("issuer.retired", issuer=step.name)

    async def _withdraw(self, step: steps.Withdraw) -> None:
        before = self._keeper.journal
        journal = before.withdrawn(step.name, now=self._around.clock.now())
        was = before.issuer(step.name).state.value
        await self._write(journal, "issuer.withdrawn", step.name, version=journal.version, was=was)
        log.warning("issuer.withdrawn", issuer=step.name, was=was)

    async def _silence(self, step: steps.Silence) -> None:
        journal = self._keeper.journal.silenced(step.name)
        stop = partial(self._mint.silence, step.name)
        await self._keeper.write(journal, Note("issuer.silenced", step.name), stop)
        log.warning("issuer.silenced", issuer=step.name)

    async def _remove(self, step: steps.Remove) -> None:
        journal = self._keeper.journal.removed(step.name)
        delete = partial(self._mint.remove, step.name)
        await self._keeper.write(journal, Note("issuer.removed", step.name), delete)
        log.info("issuer.removed", issuer=step.name)
