"""Reading the keys that the holder of the lease has issued, to answer pulls with the same bytes."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from services.metadata.domain.key_generations import KEPT_EPOCHS, KeyGeneration
from services.metadata.domain.key_ledger import KeyLedger, KeySnapshot, mark_of
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.key_keeping import KeyKeeper
from svc_core.domain.acl import Acl
from svc_core.domain.epochs import Epoch
from svc_core.errors import DependencyError
from svc_core.runtime.surroundings import Surroundings

Refresh = Callable[[], Awaitable[None]]
"""Read the rights that are stored; they may be others than those known here."""


class KeysNotReadyError(DependencyError):
    """What is stored and what is known here do not fit yet; the holder of the lease is at it."""

    code = "keys.not_ready"


def oldest_kept(around: Surroundings) -> int:
    """Return the number of the oldest key epoch whose keys still open anything."""
    current = around.profile.keys.current(around.clock.now())
    return max(0, current.number - KEPT_EPOCHS + 1)


class KeyReader:
    """Makes a snapshot of what is stored; changes nothing."""

    def __init__(
        self, keeper: KeyKeeper, acls: AclSource, around: Surroundings, refresh: Refresh | None
    ) -> None:
        """Prepare to read.

        Args:
            keeper: where generations are.
            acls: the rights that are known here.
            around: clock and profile.
            refresh: called when the ledger is of other rights than those.
        """
        self._keeper = keeper
        self._acls = acls
        self._around = around
        self._refresh = refresh

    async def read(self, ledger: KeyLedger) -> KeySnapshot:
        """Return what was issued as ``ledger`` says.

        Raises:
            KeysNotReadyError: nothing has been issued, it was issued for other rights than are
                known here, or it is being changed right now.
            SecretStoreError: OpenBao does not answer.
        """
        if ledger.newest < 0:
            raise KeysNotReadyError("no keys have been issued yet")
        acl = await self._rights_of(ledger)
        return KeySnapshot(ledger, acl, await self._generations(ledger, acl))

    async def _rights_of(self, ledger: KeyLedger) -> Acl:
        if self._refresh is not None and mark_of(self._acls.digest, ledger) != ledger.mark:
            await self._refresh()
        if mark_of(self._acls.digest, ledger) != ledger.mark:
            raise KeysNotReadyError("the keys were made for other rights than are known here")
        return self._acls.current

    async def _generations(self, ledger: KeyLedger, acl: Acl) -> tuple[KeyGeneration, ...]:
        current = self._around.profile.keys.current(self._around.clock.now()).number
        found: list[KeyGeneration] = []
        for number in range(oldest_kept(self._around), ledger.newest + 1):
            kept = await self._keeper.fetch(Epoch(number))
            if kept is None:
                continue
            # What is stored ahead of the ledger is of a version that nobody has issued yet.
            is_for = partial(kept.generation.is_for, acl, rolls=ledger.rolls)
            if number >= current and not await asyncio.to_thread(is_for):
                raise KeysNotReadyError(f"the keys of epoch {number} are just being changed")
            found.append(kept.generation)
        if not found or found[-1].epoch.number != ledger.newest:
            raise KeysNotReadyError(f"the keys of epoch {ledger.newest} are not to be found")
        return tuple(found)
