"""What the operator may order about issuers: the next one now, going back, and distrust.

Either is one change of the journal; everything else follows from the plan, step by step.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from services.metadata.domain.audit import Note
from services.metadata.domain.issuers import REMOVABLE
from services.metadata.domain.journal import Journal
from services.metadata.flows.ca_rotation import CaRotator, Change
from services.metadata.flows.commands import CarryOut, Outcome, Progress
from svc_core.domain.operator_command import (
    ROLLBACK,
    ROTATE_CA,
    TAINT,
    CommandRefusedError,
    CommandUnknownError,
    OperatorCommand,
)
from svc_core.runtime.surroundings import Surroundings

_LOOK_AGAIN_S: Final = 0.1
_TOLD_WITHIN_S: Final = 10.0


class IssuerOrders:
    """Carries out ``rotate-ca``, ``taint`` and ``rollback``; a repeat changes nothing."""

    def __init__(self, rotator: CaRotator, around: Surroundings) -> None:
        self._rotator = rotator
        self._around = around

    @property
    def kinds(self) -> Mapping[str, CarryOut]:
        """How each kind of command is carried out."""
        return {ROTATE_CA: self.rotate, TAINT: self.taint, ROLLBACK: self.go_back}

    async def rotate(self, command: OperatorCommand, progress: Progress) -> Outcome:
        """Rotate now: a successor is made at once and signs as soon as everybody trusts it.

        One that is on its way already is the one that comes early. Boundaries stay where they are:
        the next one takes place unless what came early was made for it.

        Returns:
            ``after``: the issuer that was active; ``issuer``: the one that is now, empty when it
            was not reached in ten seconds; then ``held`` says why.

        Raises:
            CommandRefusedError: there is no issuer yet that could be followed.
        """
        former: list[str] = []
        await self._rotator.order(self._hurrying(command.id, former))
        await progress({"after": former[0]})
        return {"after": former[0], **await self._succeeded(former[0])}

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

    async def _succeeded(self, former: str) -> Outcome:
        deadline = self._around.clock.monotonic() + _TOLD_WITHIN_S
        while self._around.clock.monotonic() < deadline:
            active = self._rotator.journal.active
            if active is not None and active.name != former:
                return {"issuer": active.name}
            await asyncio.sleep(_LOOK_AGAIN_S)
        return {"issuer": "", "held": self._rotator.held}

    def _hurrying(self, order: str, former: list[str]) -> Change:
        def change(journal: Journal) -> tuple[Journal, Note]:
            active, successor = journal.active, journal.successor
            if active is None:
                raise CommandRefusedError("there is no issuer yet that could be followed")
            is_over = journal.last_order == order and not journal.is_hurried
            former.append("" if is_over else active.name)
            note = Note(
                "issuer.hurried",
                active.name,
                {"order": order, "successor": successor.name if successor is not None else ""},
            )
            if journal.last_order == order:
                return journal, note
            # Who is in flight from a tainted issuer hurries already.
            hurried = journal if active.is_tainted else journal.hurried()
            return hurried.ordered(order), note

        return change

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
