"""What the operator may order about issuers: going back, and distrust.

Either is one change of the journal; everything else follows from the plan, step by step.
"""

from collections.abc import Mapping

from services.metadata.domain.audit import Note
from services.metadata.domain.issuers import REMOVABLE
from services.metadata.domain.journal import Journal
from services.metadata.flows.ca_rotation import CaRotator, Change
from services.metadata.flows.commands import CarryOut, Outcome, Progress
from svc_core.domain.operator_command import (
    ROLLBACK,
    TAINT,
    CommandRefusedError,
    CommandUnknownError,
    OperatorCommand,
)
from svc_core.runtime.surroundings import Surroundings


class IssuerOrders:
    """Carries out ``taint`` and ``rollback``; again after a crash changes nothing."""

    def __init__(self, rotator: CaRotator, around: Surroundings) -> None:
        self._rotator = rotator
        self._around = around

    @property
    def kinds(self) -> Mapping[str, CarryOut]:
        """How each kind of command is carried out."""
        return {TAINT: self.taint, ROLLBACK: self.go_back}

    async def taint(self, command: OperatorCommand, _progress: Progress) -> Outcome:
        """Distrust one issuer: it signs nothing from now on, and leaves the trusted set.

        Raises:
            CommandUnknownError: there is no such issuer in the trusted set.
        """
        name = command.arguments.get("issuer", "")
        await self._rotator.order(self._tainting(name, command.id))
        return {"issuer": name}

    async def go_back(self, command: OperatorCommand, _progress: Progress) -> Outcome:
        """Call the successor off if there is one; else make the predecessor active again.

        Raises:
            CommandRefusedError: there is nothing to go back from, or nowhere to go.
        """
        before: list[str] = []
        await self._rotator.order(self._going_back(command.id, before))
        return {"from": before[0] if before else ""}

    def _tainting(self, name: str, order: str) -> Change:
        def change(journal: Journal) -> tuple[Journal, Note]:
            note = Note("issuer.tainted", name, {"order": order})
            issuer = next((i for i in journal.issuers if i.name == name), None)
            if issuer is None or (issuer.state in REMOVABLE and not issuer.is_tainted):
                raise CommandUnknownError(f"no issuer {name or 'without a name'} is in use")
            if issuer.is_tainted:
                return journal, note
            return journal.tainted(name, now=self._around.clock.now()), note

        return change

    def _going_back(self, order: str, before: list[str]) -> Change:
        def change(journal: Journal) -> tuple[Journal, Note]:
            now, profile = self._around.clock.now(), self._around.profile
            if journal.last_order == order:
                return journal, Note("issuer.went_back", "", {"order": order})
            successor, active = journal.successor, journal.active
            if successor is not None:
                before.append(successor.name)
                note = Note("issuer.called_off", successor.name, {"order": order})
                return journal.withdrawn(successor.name, now=now).ordered(order), note
            target = journal.way_back(now, life=profile.leaf_ttl)
            if active is None or target is None:
                raise CommandRefusedError("no former issuer lives long enough to go back to")
            before.append(active.name)
            note = Note("issuer.went_back", target.name, {"order": order, "failed": active.name})
            epoch = profile.ca.current(now).number
            return journal.went_back(target.name, now=now, epoch=epoch).ordered(order), note

        return change
