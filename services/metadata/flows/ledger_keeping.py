"""Keeping the ledger: every change is made to what is stored, never to what was read.

Only the holder of the lease changes it. Its term is in the ledger, and is raised before anything
else is done in it; so whoever held the lease before, was frozen and goes on, finds a later term
there, and a write that was on its way meets another version.
"""

from collections.abc import Callable
from typing import Final

from services.metadata.domain import key_ledger
from services.metadata.domain.key_ledger import KeyLedger
from services.metadata.ports import Term
from svc_core.errors import StaleWriteError
from svc_core.ports.secret_store import SecretStore

LEDGER_PATH: Final = "transport/key-ledger"

Change = Callable[[KeyLedger], KeyLedger]


class LedgerKeeper:
    """Reads the ledger, and changes it as long as this process holds the lease."""

    def __init__(self, store: SecretStore, term: Term) -> None:
        self._store = store
        self._term = term

    @property
    def term(self) -> int | None:
        """Term of the lease that this process holds; None when it may be somebody else's."""
        return self._term()

    async def load(self) -> KeyLedger:
        """Return the ledger as it is stored; an empty one before the first.

        Raises:
            SecretStoreError: OpenBao does not answer.
            MalformedMessageError: what is stored is no ledger.
        """
        return (await self._read())[0]

    async def claim(self) -> KeyLedger:
        """Raise the term of the ledger to the one of this process, and return it.

        Raises:
            StaleWriteError: this process does not hold the lease (any more).
            SecretStoreError: OpenBao does not answer; it may have been written all the same.
        """
        return await self._write(KeyLedger.claimed)

    async def change(self, change: Change) -> KeyLedger:
        """Apply ``change`` with check-and-set, as often as others are first; return the result.

        Raises:
            StaleWriteError: this process does not hold the lease (any more); nothing was changed.
            SecretStoreError: OpenBao does not answer; it may have been written all the same.
        """
        return await self._write(lambda found, term: change(found.claimed(term)))

    async def _write(self, change: Callable[[KeyLedger, int], KeyLedger]) -> KeyLedger:
        while True:
            found, version = await self._read()
            wanted = change(found, self._checked(found))
            if wanted == found:
                return found
            try:
                await self._store.store(
                    LEDGER_PATH, key_ledger.encode(wanted), expected_version=version
                )
            except StaleWriteError:
                continue
            return wanted

    def _checked(self, found: KeyLedger) -> int:
        term = self._term()
        if term is None:
            raise StaleWriteError("the ledger of keys is for the holder of the lease to change")
        if found.term > term:
            raise StaleWriteError(f"the ledger of keys is written in term {found.term}, not {term}")
        return term

    async def _read(self) -> tuple[KeyLedger, int]:
        entry = await self._store.fetch(LEDGER_PATH)
        if entry is None:
            return KeyLedger(), 0
        return key_ledger.decode(entry.data), entry.version
