"""Telling services that their bundle is another one, as soon as its keys are stored.

A notice only wakes: the service pulls, and what it gets proves itself. One that is lost costs the
time to the next pull, so it is repeated only until the broker has taken it.
"""

import asyncio
from typing import Final

import structlog

from services.metadata.domain.key_ledger import KeySnapshot, affected
from services.metadata.flows.key_issuance import KeyIssuance
from services.metadata.ports import HintSender
from svc_core.crypto import contexts
from svc_core.domain.identity import ServiceName
from svc_core.domain.subjects import bundle_push
from svc_core.errors import BusError
from svc_core.flows.statements import Author
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire import bundle_notice, documents
from svc_core.wire.bundle_notice import BundleNotice

log = structlog.get_logger()

_LOOK_AGAIN_S: Final = 1.0


class BundleAnnouncer:
    """The loop that compares what was announced with what is issued."""

    name: Final = "bundle_announcing"

    def __init__(
        self, keys: KeyIssuance, hints: HintSender, author: Author, around: Surroundings
    ) -> None:
        self._keys = keys
        self._hints = hints
        self._author = author
        self._around = around
        self._said: KeySnapshot | None = None
        self._owed: set[ServiceName] = set()

    async def run(self) -> None:
        """Announce every change to those it affects, and after a start to all; for ever.

        Only as the holder of the lease; the first announcement of a new one is to all.
        """
        while True:
            snapshot = self._keys.snapshot
            if self._keys.ledgers.term is None:
                self._said = None
                self._around.health.beat(self.name, "standing by")
            elif snapshot is not None:
                self._owed.update(await asyncio.to_thread(affected, self._said, snapshot))
                self._said = snapshot
                await self._tell_safely(snapshot)
            await self._keys.issued.wait(_LOOK_AGAIN_S)

    async def _tell_safely(self, snapshot: KeySnapshot) -> None:
        try:
            await self._tell(snapshot)
        except BusError as err:
            self._around.health.fail(self.name, str(err))
        else:
            self._around.health.beat(self.name, f"version {snapshot.version}")

    async def _tell(self, snapshot: KeySnapshot) -> None:
        told = []
        for service in sorted(self._owed):
            if service in snapshot.acl.services:
                notice = BundleNotice(service, snapshot.version, self._around.clock.now())
                document = await self._author.sign(
                    bundle_notice.encode(notice), context=contexts.BUNDLE_NOTICE
                )
                await self._hints.send(bundle_push(service), documents.encode(document))
                told.append(service)
            self._owed.discard(service)
        if told:
            log.info("bundles.announced", version=snapshot.version, services=told)
