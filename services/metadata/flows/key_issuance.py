"""Making keys before they are needed, and storing them before anyone gets them.

A generation is stored wrapped, with check-and-set: a restart, or a second replica, serves the same
bytes under the same ids.
"""

from typing import Final

import msgspec
import structlog

from services.metadata.domain import key_generations
from services.metadata.domain.key_generations import KEPT_EPOCHS, KeyGeneration
from services.metadata.flows.acl_following import AclSource
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
        self, store: SecretStore, wrap: KeyWrap, acls: AclSource, around: Surroundings
    ) -> None:
        self._store = store
        self._wrap = wrap
        self._acls = acls
        self._around = around
        self._generations: dict[int, KeyGeneration] = {}
        self._issued_for: Acl | None = None
        self.issued = Wakeup()
        """Set whenever a generation was added."""
        self.hinted = Wakeup()
        """Set when the ACL has changed: new topics need keys of the running epochs."""

    @property
    def generations(self) -> tuple[KeyGeneration, ...]:
        """Every generation that may be handed out, oldest first."""
        return tuple(self._generations[n] for n in sorted(self._generations))

    @property
    def newest_epoch(self) -> int:
        """Key epoch of the newest generation, or -1 before the first."""
        return max(self._generations, default=-1)

    async def run(self) -> None:
        """Issue at the beginning of every lead; for ever."""
        schedule = self._around.profile.keys
        while True:
            await self._issue_due()
            self._around.health.beat(self.name, f"key epoch {self.newest_epoch}")
            now = self._around.clock.now()
            lead_begins = schedule.starts(schedule.due(now).next()) - schedule.lead
            await self.hinted.wait(max((lead_begins - now).total_seconds(), 0.0) + 0.01)

    async def _issue_due(self) -> None:
        schedule = self._around.profile.keys
        now = self._around.clock.now()
        newest, current = schedule.due(now), schedule.current(now)
        oldest = max(0, current.number - KEPT_EPOCHS + 1)
        acl, added = self._acls.current, False
        for number in range(oldest, newest.number + 1):
            # An epoch that has passed is served if it was ever made, never made afterwards.
            may_make = number >= current.number
            if number not in self._generations or (may_make and acl is not self._issued_for):
                generation = await self._ensure(Epoch(number), make=may_make)
                if generation is not None:
                    self._generations[number] = generation
                    added = True
        self._issued_for = acl
        for number in [n for n in self._generations if n < oldest]:
            del self._generations[number]
        if added:
            self.issued.set()
        await self._remove_before(oldest)

    async def _ensure(self, epoch: Epoch, *, make: bool) -> KeyGeneration | None:
        path = f"{KEYS_PATH}/{epoch.number}"
        while True:
            stored = await self._store.fetch(path)
            if stored is None and not make:
                return None
            found = (
                KeyGeneration(epoch, {}, {}, self._around.crypto.messages.algorithms.use.value)
                if stored is None
                else await self._unwrapped(epoch, stored.data.get("wrapped"))
            )
            complete = found.completed(self._acls.current, self._around.entropy) if make else found
            if complete is found:
                return found
            version = 0 if stored is None else stored.version
            document = {"wrapped": await self._wrapped(complete)}
            try:
                await self._store.store(path, document, expected_version=version)
            except StaleWriteError:
                continue
            log.info("keys.issued", epoch=epoch.number, topics=len(complete.topics))
            return complete

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
