"""Making keys before they are needed, and storing them before anyone gets them.

Only the holder of the lease makes keys, rolls and destroys them. Every other replica reads what is
stored and serves the same bytes under the same ids, as long as the rights it knows are those the
keys were made for. Each generation says which rights those were, so a right that was withdrawn
rolls them even when the authority died right after it had seen the change.
"""

import asyncio
from functools import partial
from typing import Final

import structlog

from services.metadata.domain.key_generations import KeyGeneration
from services.metadata.domain.key_ledger import KeyLedger, KeySnapshot, mark_of
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.instance_keys import InstanceKeys
from services.metadata.flows.key_keeping import KeyKeeper
from services.metadata.flows.key_making import KeyMaker, WantedKeys
from services.metadata.flows.key_reading import (
    KeyReader,
    KeysNotReadyError,
    Refresh,
    oldest_kept,
)
from services.metadata.flows.ledger_keeping import LedgerKeeper
from svc_core.domain.epochs import Epoch
from svc_core.errors import StaleWriteError
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup

log = structlog.get_logger()


class KeyIssuance:
    """The loop that keeps the generations N-3 … N+1 in the store and at hand."""

    name: Final = "key_issuance"

    def __init__(
        self,
        keeper: KeyKeeper,
        ledgers: LedgerKeeper,
        instances: InstanceKeys,
        acls: AclSource,
        around: Surroundings,
        refresh: Refresh | None = None,
    ) -> None:
        """Prepare the loop.

        Args:
            keeper: where generations are.
            ledgers: what replicas agree on, and whether this one holds the lease.
            instances: told who is refused.
            acls: the rights, told who is revoked.
            around: clock, entropy, profile, health.
            refresh: called when the ledger is of other rights than are known here.
        """
        self._keeper = keeper
        self.ledgers = ledgers
        """What replicas agree on; read at every pull too."""
        self._instances = instances
        self._acls = acls
        self._around = around
        self._maker = KeyMaker(keeper, ledgers, around)
        self._reader = KeyReader(keeper, acls, around, refresh)
        self._generations: dict[int, KeyGeneration] = {}
        self._seen: tuple[int, str, int] | None = None
        self._one_at_a_time = asyncio.Lock()
        self.snapshot: KeySnapshot | None = None
        """What bundles are made from; None before the first keys."""
        self.issued = Wakeup()
        """Set whenever there is another snapshot."""
        self.hinted = Wakeup()
        """Set when the rights have changed, a roll was ordered, or the lease was taken."""
        self._waiting: list[Wakeup] = []

    @property
    def generations(self) -> tuple[KeyGeneration, ...]:
        """Every generation that may be handed out, oldest first."""
        return tuple(self._generations[n] for n in sorted(self._generations))

    @property
    def newest_epoch(self) -> int:
        """Key epoch of the newest generation, or -1 before the first."""
        return max(self._generations, default=-1)

    @property
    def sealing(self) -> tuple[KeyGeneration, ...]:
        """The generations of this epoch and, in its lead, of the next: what seals from now on."""
        current = self._around.profile.keys.current(self._around.clock.now()).number
        return tuple(g for g in self.generations if g.epoch.number >= current)

    def wake(self, *waiting: Wakeup) -> None:
        """Set these, too, whenever there is another snapshot."""
        self._waiting += waiting

    async def run(self) -> None:
        """Issue at the beginning of every lead, and whenever rights change; for ever.

        While another replica holds the lease, look once per heartbeat what it has stored.
        """
        while True:
            try:
                await self.catch_up()
                self._around.health.beat(self.name, self._detail())
            except KeysNotReadyError as err:
                self._around.health.fail(self.name, str(err))
            await self.hinted.wait(self._pause_s())

    def _detail(self) -> str:
        standing_by = "standing by, " if self.ledgers.term is None else ""
        return f"{standing_by}key epoch {self.newest_epoch}"

    def _pause_s(self) -> float:
        if self.ledgers.term is None:
            return self._around.profile.heartbeat.total_seconds()
        schedule = self._around.profile.keys
        now = self._around.clock.now()
        lead_begins = schedule.starts(schedule.due(now).next()) - schedule.lead
        return max((lead_begins - now).total_seconds(), 0.0) + 0.01

    async def catch_up(self) -> KeySnapshot:
        """Bring snapshot and, as the holder of the lease, store and ledger to what is wanted now.

        Raises:
            KeysNotReadyError: another replica holds the lease, and what it has stored so far is
                not for the rights known here.
            SecretStoreError: OpenBao does not answer; what is at hand stays at hand.
        """
        await self._acls.known()
        async with self._one_at_a_time:
            while True:
                try:
                    snapshot = await self._caught_up()
                except StaleWriteError:
                    if self._may_issue(await self.ledgers.load()):
                        raise
                    log.info("keys.left_to_holder", version=self._version())
                    continue
                if snapshot is not None:
                    return self._taken_over(snapshot)

    def _may_issue(self, ledger: KeyLedger) -> bool:
        term = self.ledgers.term
        return term is not None and term >= ledger.term

    async def _caught_up(self) -> KeySnapshot | None:
        """Return the snapshot of now, or None when something changed meanwhile."""
        ledger = await self.ledgers.load()
        self._heed(ledger)
        if not self._may_issue(ledger):
            return await self._read(ledger)
        if ledger.term != self.ledgers.term:
            ledger = await self.ledgers.claim()
            self._heed(ledger)
        wanted = WantedKeys(
            self._acls.current, ledger, mark_of(self._acls.digest, ledger), ledger.term
        )
        await self._issue_due(wanted)
        after = await self.ledgers.change(
            partial(KeyLedger.issued, newest=self.newest_epoch, mark=wanted.mark)
        )
        if (after.revoked, after.rolls) != (ledger.revoked, ledger.rolls):
            return None
        self._seen = after.version, wanted.mark, wanted.term
        await self._remove_old()
        return KeySnapshot(after, wanted.acl, self.generations)

    async def _read(self, ledger: KeyLedger) -> KeySnapshot:
        if self.snapshot is not None and self.snapshot.ledger == ledger:
            return self.snapshot
        snapshot = await self._reader.read(ledger)
        self._generations = {g.epoch.number: g for g in snapshot.generations}
        self._seen = None
        return snapshot

    def _heed(self, ledger: KeyLedger) -> None:
        self._acls.withhold(ledger.revoked)
        self._instances.refuse(ledger.refused)

    def _taken_over(self, snapshot: KeySnapshot) -> KeySnapshot:
        is_news = self._version() != snapshot.version
        self.snapshot = snapshot
        if is_news:
            for wakeup in (self.issued, *self._waiting):
                wakeup.set()
        return snapshot

    def _version(self) -> int:
        return -1 if self.snapshot is None else self.snapshot.version

    # --- as the holder of the lease ---

    async def _issue_due(self, wanted: WantedKeys) -> None:
        schedule = self._around.profile.keys
        now = self._around.clock.now()
        newest, current = schedule.due(now), schedule.current(now)
        oldest = oldest_kept(self._around)
        is_seen = self._seen == (wanted.ledger.version, wanted.mark, wanted.term)
        for number in range(oldest, newest.number + 1):
            if is_seen and number in self._generations:
                continue
            # An epoch that has passed is served if it was ever made, never made afterwards.
            generation = await self._maker.ensure(
                Epoch(number), wanted, may_make=number >= current.number
            )
            if generation is not None:
                self._generations[number] = generation
        self._forget_before(oldest)

    def _forget_before(self, oldest: int) -> None:
        for number in [n for n in self._generations if n < oldest]:
            del self._generations[number]

    async def _remove_old(self) -> None:
        for number in await self._keeper.remove_before(oldest_kept(self._around)):
            log.info("keys.destroyed", epoch=number)
