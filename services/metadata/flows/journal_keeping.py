"""Keeping the journal: written with check-and-set, so that a second writer is noticed."""

from dataclasses import replace

from services.metadata.domain import journal as journal_codec
from services.metadata.domain.journal import Journal
from svc_core.domain.subjects import JOURNAL_PATH
from svc_core.errors import StaleWriteError
from svc_core.ports.secret_store import SecretStore


class JournalKeeper:
    """The journal as this replica last read or wrote it."""

    def __init__(self, store: SecretStore, holder: str) -> None:
        self._store = store
        self._holder = holder
        self._stored_version = -1
        self._journal = Journal()

    @property
    def journal(self) -> Journal:
        """The journal as of the last read or write."""
        return self._journal

    async def load(self) -> Journal:
        """Read the journal again."""
        found = await self._store.fetch(JOURNAL_PATH)
        self._stored_version = 0 if found is None else found.version
        self._journal = Journal() if found is None else journal_codec.decode(found.data)
        return self._journal

    async def write(self, journal: Journal) -> None:
        """Replace the journal.

        Raises:
            StaleWriteError: another writer was first; read again before deciding anything.
        """
        lease = replace(
            journal.lease,
            holder=self._holder,
            term=journal.lease.term + (journal.lease.holder != self._holder),
            beat=journal.lease.beat + 1,
        )
        stamped = journal.held_by(lease)
        try:
            self._stored_version = await self._store.store(
                JOURNAL_PATH, journal_codec.encode(stamped), expected_version=self._stored_version
            )
        except StaleWriteError:
            await self.load()
            raise
        self._journal = stamped
