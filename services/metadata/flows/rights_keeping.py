"""Keeping the rights in force in OpenBao: stored first, granted then, the same in every replica.

What a good manifest grants is stored by the holder of the lease before anything is made for it; so
the last good manifest outlives both itself and the process that read it, and no key or user is ever
of rights that nobody could read again. A replica that stands by grants what is stored, whatever its
own manifest says. Where there are none to be read anyone may store them: nothing can be granted
then that they could take away, and without rights nobody comes to hold the lease.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from services.metadata.domain import stated_rights
from services.metadata.domain.stated_rights import RIGHTS_PATH, StatedRights
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.manifest_metrics import ManifestMetrics
from svc_core.domain.acl import Acl
from svc_core.domain.acl_diff import AclDiff, diff_acls
from svc_core.domain.identity import ServiceName
from svc_core.errors import ConfigError, MalformedMessageError, StaleWriteError
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.ports.secret_store import SecretStore
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup

log = structlog.get_logger()

Term = Callable[[], int | None]
"""Returns the term under which this process holds the lease; None when it does not."""

_LOOK_AGAIN_S: Final = 1.0
_UNREAD: Final = -1


class RightsKeeper:
    """The loop that keeps the rights in OpenBao and those that are granted the same.

    `AclSource` never has any but stored ones, so its digest is that of rights every replica can
    read. Whoever finds a ledger or journal of another digest calls `refresh` and looks again.
    """

    name: Final = "rights_keeping"

    def __init__(
        self,
        store: SecretStore,
        source: AclSource,
        term: Term,
        around: Surroundings,
        metrics: ManifestMetrics,
    ) -> None:
        """Prepare the loop; until it has run, ``source`` has no rights at all.

        Args:
            store: where the rights are; what is written is audited by it.
            source: gets what is stored.
            term: whether this process may replace what is stored.
            around: only its health is used.
            metrics: says whether the manifest is in force.
        """
        self._store = store
        self._documents = PartedDocuments(store)
        self._source = source
        self._term = term
        self._health = around.health
        self._metrics = metrics
        self._wanted: Acl | None = None
        self._fault = ""
        self._fatal: ConfigError | None = None
        self._is_judged = asyncio.Event()
        self._stored: StatedRights | None = None
        self._version = _UNREAD
        self._is_overruled = False
        self._one_at_a_time = asyncio.Lock()
        self.hinted = Wakeup()
        """Set to look at once."""

    async def propose(self, acl: Acl) -> None:
        """Have what a good manifest grants stored and granted, if this process decides that.

        Raises:
            SecretStoreError: it is not known whether it was stored; it is not granted yet.
        """
        self._wanted, self._fault, self._fatal = acl, "", None
        self._is_judged.set()
        await self._look()

    def go_without(self, fault: str, fatal: ConfigError | None = None) -> None:
        """Go on with the rights that are stored: the manifest is none, for now or until mended.

        Args:
            fault: what is wrong, in one line.
            fatal: raised where no rights are stored, since only editing the manifest helps; None
                when it may be readable later and the last one read still counts.
        """
        if fatal is not None or self._wanted is None:
            self._wanted, self._fault, self._fatal = None, fault, fatal
        self._is_judged.set()
        self.hinted.set()

    async def run(self) -> None:
        """Look every second, and when hinted; for ever.

        Raises:
            ConfigError: no rights are stored, and the manifest is not one to begin with.
        """
        await self._is_judged.wait()
        while True:
            await self._look()
            self._health.beat(self.name, self._detail())
            await self.hinted.wait(_LOOK_AGAIN_S)

    async def refresh(self) -> None:
        """Read and grant what is stored, if that is another version than is known.

        Raises:
            SecretStoreError: OpenBao does not answer.
        """
        async with self._one_at_a_time:
            await self._read()
            await self._grant()

    async def _look(self) -> None:
        async with self._one_at_a_time:
            await self._read()
            wanted = self._due()
            if wanted is not None:
                await self._write(wanted)
            await self._grant()

    async def _read(self) -> None:
        head = await self._store.fetch(RIGHTS_PATH)
        if (0 if head is None else head.version) == self._version:
            return
        try:
            self._stored, self._version = await self._fetched()
        except MalformedMessageError as err:
            self._stored, self._version = None, 0 if head is None else head.version
            reason = str(err)
        else:
            return
        log.error("rights.damaged", path=RIGHTS_PATH, version=self._version, reason=reason)

    async def _fetched(self) -> tuple[StatedRights | None, int]:
        found = await self._documents.fetch(RIGHTS_PATH)
        if found is None:
            return None, 0
        return await asyncio.to_thread(stated_rights.decode, found[0]), found[1]

    def _due(self) -> StatedRights | None:
        """Return the rights to store now; None when these are stored, or not for us to replace."""
        term, stored = self._term(), self._stored
        acl = self._wanted or (self._source.given if stored is None else stored.acl)
        if acl is None:
            if self._fatal is not None:
                raise self._fatal
            return None
        if stored is None:
            return StatedRights(acl, term or 0)
        if term is None or term < stored.term:
            return None
        due = StatedRights(acl, term)
        return None if due == stored else due

    async def _write(self, rights: StatedRights) -> None:
        payload = await asyncio.to_thread(stated_rights.encode, rights)
        try:
            self._version = await self._documents.store(
                RIGHTS_PATH, payload, expected_version=self._version
            )
        except StaleWriteError:
            # Another replica was first; whoever holds the lease now decides at its next look.
            await self._read()
            self.hinted.set()
            return
        self._stored = rights
        log.info("rights.stored", term=rights.term, services=len(rights.acl.services))

    async def _grant(self) -> None:
        if self._stored is None:
            return
        before, after = self._source.given, self._stored.acl
        if before is None:
            await self._source.adopt(after)
            self._report_beginning()
        elif before != after:
            diff = await asyncio.to_thread(diff_acls, before, after)
            await self._source.adopt(after)
            _report(diff)
        self._compare(after)

    def _report_beginning(self) -> None:
        if self._wanted is None:
            log.warning("rights.restored", reason=self._fault)

    def _compare(self, in_force: Acl) -> None:
        is_other = self._wanted is not None and self._wanted != in_force
        if is_other and not self._is_overruled:
            log.warning("acl.overruled", services=len(in_force.services))
        self._is_overruled = is_other
        self._metrics.is_in_force.set(int(self._wanted == in_force))

    def _detail(self) -> str:
        if self._fault:
            return f"{self._fault}; the rights that are stored stay in force"
        if self._is_overruled:
            return "the holder of the lease read another manifest; its rights are in force"
        return "the manifest is in force"


def _report(diff: AclDiff) -> None:
    log.info(
        "acl.changed",
        added=diff.services_added,
        removed=diff.services_removed,
        altered=_altered(diff),
        granted=len(diff.granted),
        withdrawn=len(diff.withdrawn),
        topics_to_roll=len(diff.topics_to_roll),
        bundles=diff.bundles,
        nats_users=diff.nats_users,
    )


def _altered(diff: AclDiff) -> list[ServiceName]:
    others = {*diff.services_added, *diff.services_removed}
    return sorted({right.service for right in (*diff.granted, *diff.withdrawn)} - others)
