"""Keeping the ledger of keys: every change is made to what is stored, never to what was read."""

from collections.abc import Callable
from typing import Final

from services.metadata.domain import key_ledger
from services.metadata.domain.key_ledger import KeyLedger
from svc_core.errors import StaleWriteError
from svc_core.ports.secret_store import SecretStore

LEDGER_PATH: Final = "transport/key-ledger"


class LedgerKeeper:
    """Reads and changes the ledger; several replicas may."""

    def __init__(self, store: SecretStore) -> None:
        self._store = store

    async def load(self) -> KeyLedger:
        """Return the ledger as it is stored; an empty one before the first.

        Raises:
            SecretStoreError: OpenBao does not answer.
            MalformedMessageError: what is stored is no ledger.
        """
        return (await self._read())[0]

    async def change(self, change: Callable[[KeyLedger], KeyLedger]) -> KeyLedger:
        """Apply ``change`` with check-and-set, as often as others are first; return the result.

        Raises:
            SecretStoreError: OpenBao does not answer; it may have been written all the same.
        """
        while True:
            found, version = await self._read()
            wanted = change(found)
            if wanted == found:
                return found
            try:
                await self._store.store(
                    LEDGER_PATH, key_ledger.encode(wanted), expected_version=version
                )
            except StaleWriteError:
                continue
            return wanted

    async def _read(self) -> tuple[KeyLedger, int]:
        entry = await self._store.fetch(LEDGER_PATH)
        if entry is None:
            return KeyLedger(), 0
        return key_ledger.decode(entry.data), entry.version
