"""Making the keys of one epoch: what is missing is added, what is lost is rolled, and stored."""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from services.metadata.domain.key_generations import KeyGeneration
from services.metadata.domain.key_ledger import KeyLedger
from services.metadata.flows.key_keeping import KeptGeneration, KeyKeeper
from services.metadata.flows.ledger_keeping import LedgerKeeper
from svc_core.domain.acl import Acl
from svc_core.domain.epochs import Epoch
from svc_core.errors import StaleWriteError
from svc_core.runtime.surroundings import Surroundings

log = structlog.get_logger()

_MOST_NAMED: Final = 50
"""Topics in one line of the log."""


@dataclass(frozen=True, slots=True)
class WantedKeys:
    """What keys are to be made for."""

    acl: Acl
    ledger: KeyLedger
    mark: str
    """What bundles are issued for, as the ledger will say it."""
    term: int
    """Of the lease under which they are made."""


class KeyMaker:
    """Makes generations; only the holder of the lease comes to the end of it."""

    def __init__(self, keeper: KeyKeeper, ledgers: LedgerKeeper, around: Surroundings) -> None:
        self._keeper = keeper
        self._ledgers = ledgers
        self._around = around

    async def ensure(
        self, epoch: Epoch, wanted: WantedKeys, *, may_make: bool
    ) -> KeyGeneration | None:
        """Return the generation of ``epoch`` as it is wanted, stored under the term of ``wanted``.

        Args:
            epoch: whose keys.
            wanted: what they are for.
            may_make: whether keys may be added; otherwise they are only taken away, and None is
                returned where there are none.

        Raises:
            StaleWriteError: this process does not hold the lease any more.
            SecretStoreError: OpenBao does not answer; it may have been stored all the same.
        """
        while True:
            kept = await self._keeper.fetch(epoch)
            if kept is None and not may_make:
                return None
            found = self._first(epoch, wanted) if kept is None else kept.generation
            due = (
                await asyncio.to_thread(self._made_for, found, wanted)
                if may_make
                else found.limited_to(wanted.acl)
            )
            if kept is not None and due is found and kept.term == wanted.term:
                return found
            try:
                await self._keeper.store(due, term=wanted.term, found=kept)
            except StaleWriteError:
                if self._is_overtaken(kept, wanted):
                    raise
                continue
            self._report(found, due)
            return due

    def _is_overtaken(self, kept: KeptGeneration | None, wanted: WantedKeys) -> bool:
        return self._ledgers.term != wanted.term or (kept is not None and kept.term > wanted.term)

    def _first(self, epoch: Epoch, wanted: WantedKeys) -> KeyGeneration:
        algorithm = self._around.crypto.messages.algorithms.use.value
        return KeyGeneration(epoch, {}, {}, algorithm, rolls=wanted.ledger.rolls)

    def _made_for(self, found: KeyGeneration, wanted: WantedKeys) -> KeyGeneration:
        return found.caught_up(wanted.acl, self._around.entropy, rolls=wanted.ledger.rolls)

    def _report(self, before: KeyGeneration, after: KeyGeneration) -> None:
        if after is before:
            log.debug("keys.claimed", epoch=after.epoch.number)
            return
        counts, counts_before = after.counts, before.counts
        rolled = sorted(t for t, count in counts_before.items() if counts[t] > count)
        if rolled:
            named = rolled[:_MOST_NAMED]
            log.info("keys.rolled", epoch=after.epoch.number, rolled=len(rolled), topics=named)
        if len(counts) != len(counts_before) or not before.seeds:
            log.info("keys.issued", epoch=after.epoch.number, topics=len(after.topics))
        withdrawn = sorted(before.seeds.keys() - after.seeds.keys())
        if withdrawn:
            log.info("keys.withdrawn", epoch=after.epoch.number, services=withdrawn)
