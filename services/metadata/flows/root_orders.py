"""What the operator may order about roots: another one, now.

One change of the journal; everything else follows from the plan, step by step.
"""

from collections.abc import Mapping

from services.metadata.domain.audit import Note
from services.metadata.domain.journal import Journal
from services.metadata.domain.root_rotation import order_refusal
from services.metadata.flows.ca_rotation import CaRotator
from services.metadata.flows.commands import CarryOut, Outcome, Progress
from svc_core.domain.operator_command import ROTATE_ROOT, CommandRefusedError, OperatorCommand


class RootOrders:
    """Carries out ``rotate root``; again after a crash changes nothing."""

    def __init__(self, rotator: CaRotator) -> None:
        self._rotator = rotator

    @property
    def kinds(self) -> Mapping[str, CarryOut]:
        """How each kind of command is carried out."""
        return {ROTATE_ROOT: self.rotate}

    async def rotate(self, command: OperatorCommand, _progress: Progress) -> Outcome:
        """Have another root made, trusted and used for the next issuer.

        Raises:
            CommandRefusedError: that is under way already, or too many roots are trusted.
        """
        former: list[str] = []

        def change(journal: Journal) -> tuple[Journal, Note]:
            roots = journal.roots
            note = Note("root.ordered", "", {"order": command.id})
            former.extend([roots.signing.name] if roots.signing is not None else [])
            if journal.last_order == command.id:
                return journal, note
            if refusal := order_refusal(journal):
                raise CommandRefusedError(refusal)
            return journal.with_roots(roots.ordered()).ordered(command.id), note

        await self._rotator.order(change)
        return {"former_root": former[0] if former else ""}
