"""Making keys before they are needed, and storing them before anyone gets them.

A generation is stored wrapped, with check-and-set: a restart, or a second replica, serves the same
bytes under the same ids. Each says which rights its keys were made for, so a right that was
withdrawn rolls them even when the authority died right after it had seen the change.
"""

import asyncio
from functools import partial
from typing import Final

import msgspec
import structlog

from services.metadata.domain import key_generations
from services.metadata.domain.key_generations import KEPT_EPOCHS, KeyGeneration
from services.metadata.domain.key_ledger import KeyLedger, KeySnapshot, mark_of
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.instance_keys import InstanceKeys
from services.metadata.flows.ledger_keeping import LedgerKeeper
from services.metadata.ports import KeyWrap
from svc_core.domain.acl import Acl
from svc_core.domain.epochs import Epoch
from svc_core.domain.subjects import KEYS_PATH
from svc_core.errors import MalformedMessageError, StaleWriteError
from svc_core.ports.secret_store import SecretStore
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup

log = structlog.get_logger()


class KeyIssuance:
    """The loop that keeps the generations N-3 … N+1 in the store and at hand."""

    name: Final = "key_issuance"

    def __init__(
        self,
        store: SecretStore,
        wrap: KeyWrap,
        ledgers: LedgerKeeper,
        instances: InstanceKeys,
        acls: AclSource,
        around: Surroundings,
    ) -> None:
        self._store = store
        self._wrap = wrap
        self.ledgers = ledgers
        """What replicas agree on; read at every pull too."""
        self._instances = instances
        self._acls = acls
        self._around = around
        self._generations: dict[int, KeyGeneration] = {}
        self._seen: tuple[int, str] | None = None
        self._one_at_a_time = asyncio.Lock()
        self.snapshot: KeySnapshot | None = None
        """What bundles are made from; None before the first keys."""
        self.issued = Wakeup()
        """Set whenever there is another snapshot."""
        self.hinted = Wakeup()
        """Set when the rights have changed, or a roll was ordered."""

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

    async def run(self) -> None:
        """Issue at the beginning of every lead, and whenever rights change; for ever."""
        schedule = self._around.profile.keys
        while True:
            await self.catch_up()
            self._around.health.beat(self.name, f"key epoch {self.newest_epoch}")
            now = self._around.clock.now()
            lead_begins = schedule.starts(schedule.due(now).next()) - schedule.lead
            await self.hinted.wait(max((lead_begins - now).total_seconds(), 0.0) + 0.01)

    async def catch_up(self) -> KeySnapshot:
        """Bring store, ledger and snapshot to what is wanted now, and return the snapshot.

        Raises:
            SecretStoreError: OpenBao does not answer; what is at hand stays at hand.
        """
        async with self._one_at_a_time:
            while True:
                ledger = await self.ledgers.load()
                self._acls.withhold(ledger.revoked)
                self._instances.refuse(ledger.refused)
                acl, mark = self._acls.current, mark_of(self._acls.current, ledger)
                await self._issue_due(acl, ledger, mark)
                issued = partial(KeyLedger.issued, newest=self.newest_epoch, mark=mark)
                after = await self.ledgers.change(issued)
                if mark_of(acl, after) == mark:
                    break
            self._seen = after.version, mark
            snapshot = self._taken_over(KeySnapshot(after, acl, self.generations))
            await self._remove_before(self._oldest())
            return snapshot

    def _taken_over(self, snapshot: KeySnapshot) -> KeySnapshot:
        is_news = self.snapshot is None or snapshot.version != self.snapshot.version
        self.snapshot = snapshot
        if is_news:
            self.issued.set()
        return snapshot

    def _oldest(self) -> int:
        current = self._around.profile.keys.current(self._around.clock.now())
        return max(0, current.number - KEPT_EPOCHS + 1)

    async def _issue_due(self, acl: Acl, ledger: KeyLedger, mark: str) -> None:
        schedule = self._around.profile.keys
        now = self._around.clock.now()
        newest, current = schedule.due(now), schedule.current(now)
        oldest = self._oldest()
        is_seen = self._seen == (ledger.version, mark)
        for number in range(oldest, newest.number + 1):
            if is_seen and number in self._generations:
                continue
            # An epoch that has passed is served if it was ever made, never made afterwards.
            generation = await self._ensure(
                Epoch(number), acl, ledger, may_make=number >= current.number
            )
            if generation is not None:
                self._generations[number] = generation
        for number in [n for n in self._generations if n < oldest]:
            del self._generations[number]

    async def _ensure(
        self, epoch: Epoch, acl: Acl, ledger: KeyLedger, *, may_make: bool
    ) -> KeyGeneration | None:
        path = f"{KEYS_PATH}/{epoch.number}"
        while True:
            stored = await self._store.fetch(path)
            if stored is not None:
                found = await self._unwrapped(epoch, stored.data.get("wrapped"))
            elif may_make:
                algorithm = self._around.crypto.messages.algorithms.use.value
                found = KeyGeneration(epoch, {}, {}, algorithm, rolls=ledger.rolls)
            else:
                return None
            wanted = (
                found.caught_up(acl, self._around.entropy, rolls=ledger.rolls)
                if may_make
                else found.limited_to(acl)
            )
            if wanted is found:
                return found
            document = {"wrapped": await self._wrapped(wanted)}
            try:
                await self._store.store(
                    path, document, expected_version=0 if stored is None else stored.version
                )
            except StaleWriteError:
                continue
            self._report(found, wanted)
            return wanted

    def _report(self, before: KeyGeneration, after: KeyGeneration) -> None:
        rolled = [t for t, keys in before.topics.items() if len(after.topics[t]) > len(keys)]
        if rolled:
            log.info("keys.rolled", epoch=after.epoch.number, topics=sorted(rolled))
        if after.topics.keys() != before.topics.keys() or not before.seeds:
            log.info("keys.issued", epoch=after.epoch.number, topics=len(after.topics))
        withdrawn = sorted(before.seeds.keys() - after.seeds.keys())
        if withdrawn:
            log.info("keys.withdrawn", epoch=after.epoch.number, services=withdrawn)

    async def _wrapped(self, generation: KeyGeneration) -> str:
        return await self._wrap.wrap(msgspec.json.encode(key_generations.encode(generation)))

    async def _unwrapped(self, epoch: Epoch, wrapped: object) -> KeyGeneration:
        if not isinstance(wrapped, str):
            raise MalformedMessageError(f"the keys of epoch {epoch} are not stored as text")
        raw = await self._wrap.unwrap(wrapped)
        try:
            document = msgspec.json.decode(raw, type=dict)
        except msgspec.DecodeError:
            raise MalformedMessageError("a stored key generation cannot be read") from None
        generation = key_generations.decode(document)
        if generation.epoch != epoch:
            raise MalformedMessageError(f"keys of epoch {generation.epoch} stored as {epoch}")
        return generation

    async def _remove_before(self, oldest: int) -> None:
        for name in await self._store.fetch_names(KEYS_PATH):
            if name.isdigit() and int(name) < oldest:
                await self._store.remove(f"{KEYS_PATH}/{name}")
                log.info("keys.destroyed", epoch=int(name))
