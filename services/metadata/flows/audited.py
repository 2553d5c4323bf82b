"""Writing down what is no step of the rotation, before it happens: stored keys, and commands.

Both are wrapped around what they tell of, so that neither knows of the audit log and nothing gets
past it: where the entry cannot be written, nothing is stored and no command is begun.
"""

from collections.abc import Mapping

from services.metadata.domain.audit import Note
from services.metadata.flows.audit_keeping import AuditLog
from services.metadata.flows.commands import CarryOut, Outcome, Progress
from svc_core.domain.operator_command import OperatorCommand
from svc_core.ports.secret_store import Document, SecretStore, Versioned


class AuditedStore:
    """A `SecretStore` that writes every change below one path down first; never what is stored."""

    def __init__(self, inner: SecretStore, audit: AuditLog, kind: str) -> None:
        """Wrap ``inner``.

        Args:
            inner: where things are stored.
            audit: where that is written down.
            kind: what it is a change of, such as ``keys``; entries are ``keys.stored`` and
                ``keys.removed``, and their subject is the path.
        """
        self._inner = inner
        self._audit = audit
        self._kind = kind

    async def fetch(self, path: str) -> Versioned | None:
        """Return the newest version of ``path``, or None."""
        return await self._inner.fetch(path)

    async def store(self, path: str, data: Document, *, expected_version: int | None) -> int:
        """Write down that ``path`` is replaced, then do it; raises as either."""
        replaces = "any" if expected_version is None else str(expected_version)
        await self._audit.append(Note(f"{self._kind}.stored", path, {"replaces": replaces}))
        return await self._inner.store(path, data, expected_version=expected_version)

    async def fetch_names(self, path: str) -> tuple[str, ...]:
        """Return the names directly below ``path``."""
        return await self._inner.fetch_names(path)

    async def remove(self, path: str) -> None:
        """Write down that ``path`` is removed, then do it; raises as either."""
        await self._audit.append(Note(f"{self._kind}.removed", path))
        await self._inner.remove(path)


def audited(kinds: Mapping[str, CarryOut], audit: AuditLog) -> Mapping[str, CarryOut]:
    """Return how each kind of command is carried out once it is written down."""
    return {kind: _audited(carry_out, audit) for kind, carry_out in kinds.items()}


def _audited(carry_out: CarryOut, audit: AuditLog) -> CarryOut:
    async def noted(command: OperatorCommand, progress: Progress) -> Outcome:
        facts = {"order": command.kind, **command.arguments}
        await audit.append(Note("command.begun", command.id, facts))
        return await carry_out(command, progress)

    return noted
