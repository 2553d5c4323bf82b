"""Keeping the journal: only the holder of the lease writes, with check-and-set, after the audit.

A write has three parts, in this order: the audit entry that tells of it, what it does in OpenBao
if it does anything there, and the journal, which names the entry. Should the process die between
them, the entry stays as one that nothing follows, and the next look decides anew.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from services.metadata.domain import journal_codec
from services.metadata.domain.audit import Note
from services.metadata.domain.journal import Journal
from services.metadata.domain.lease import LeaseTimes, LeaseView, beaten
from services.metadata.flows.audit_keeping import AuditLog
from svc_core.domain.audit import AuditHead
from svc_core.domain.subjects import JOURNAL_PATH
from svc_core.errors import StaleWriteError
from svc_core.ports.secret_store import SecretStore
from svc_core.ports.time import Clock
from svc_core.runtime.wakeup import Wakeup

log = structlog.get_logger()

Effect = Callable[[], Awaitable[None]]
_NEVER_READ: Final = -1


class JournalKeeper:
    """The journal as this replica last read or wrote it."""

    def __init__(
        self, store: SecretStore, holder: str, audit: AuditLog, clock: Clock, times: LeaseTimes
    ) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock
        self._lease = LeaseView(holder, times)
        self._stored_version = _NEVER_READ
        self._journal = Journal()
        self._waiting: list[Wakeup] = []

    @property
    def journal(self) -> Journal:
        """The journal as of the last read or write."""
        return self._journal

    @property
    def is_holder(self) -> bool:
        """Whether this process held the lease when it last looked."""
        return self._lease.is_mine(self._journal)

    @property
    def term(self) -> int | None:
        """Term of the lease that this process holds; None when it may be somebody else's.

        Also None when it has not proved for long that it holds it, as after having been frozen.
        """
        if not self.is_holder or self._lease.is_doubtful(self._clock.monotonic()):
            return None
        return self._journal.lease.term

    def wake(self, *waiting: Wakeup) -> None:
        """Set these whenever this process has taken the lease."""
        self._waiting += waiting

    async def load(self) -> Journal:
        """Read the journal again."""
        found = await self._store.fetch(JOURNAL_PATH)
        self._stored_version = 0 if found is None else found.version
        self._journal = Journal() if found is None else journal_codec.decode(found.data)
        self._audit.anchor(self._journal.audit, limit=self._journal.stated.number)
        await self._audit.catch_up()
        return self._journal

    async def hold(self) -> bool:
        """Say whether this process may act; take the lease when it stands still, keep it moving.

        Raises:
            StaleWriteError: another replica was faster; the journal has been read again.
            SecretStoreError: OpenBao does not answer, so nobody may act.
        """
        now = self._clock.monotonic()
        if not self.is_holder or self._lease.is_doubtful(now):
            await self.load()
        if not self.is_holder:
            return await self._take(now)
        if self._lease.is_beat_due(now):
            await self._put(self._journal)
        return True

    async def write(self, journal: Journal, note: Note, effect: Effect | None = None) -> None:
        """Write down what is done, do it, and replace the journal.

        Args:
            journal: made from `journal`, which must not have changed since.
            note: what the audit log says of it.
            effect: what is done besides; it may be done again after a crash.

        Raises:
            StaleWriteError: another writer was first, or holds the lease; read again before
                deciding anything.
            SecretStoreError: it is not known whether it was written.
        """
        if not self.is_holder:
            raise StaleWriteError(
                f"the journal is held by {self._journal.lease.holder or 'nobody'}"
            )
        before = self._journal
        head = await self._append(note)
        if effect is not None:
            await effect()
        await self._put(journal.noted(head, before=before))

    async def _take(self, now: float) -> bool:
        former = self._journal.lease
        if not self._lease.may_take(self._journal, now):
            return False
        taken = self._lease.taken(self._journal)
        facts = {"term": str(taken.lease.term), "former_holder": former.holder}
        note = Note("lease.taken", taken.lease.holder, facts)
        head = await self._append(note)
        await self._put(taken.noted(head, before=self._journal))
        log.info(
            "lease.taken",
            holder=taken.lease.holder,
            term=taken.lease.term,
            former_holder=former.holder,
        )
        for wakeup in self._waiting:
            wakeup.set()
        return True

    async def _append(self, note: Note) -> AuditHead:
        try:
            return await self._audit.append(note, follows=self._journal.audit.number)
        except StaleWriteError:
            await self.load()
            raise

    async def _put(self, journal: Journal) -> None:
        began, moved = self._clock.monotonic(), beaten(journal)
        try:
            self._stored_version = await self._store.store(
                JOURNAL_PATH, journal_codec.encode(moved), expected_version=self._stored_version
            )
        except StaleWriteError:
            await self.load()
            raise
        self._journal = moved
        self._lease.proved(moved.lease, began)
        self._audit.anchor(moved.audit, limit=moved.stated.number)
