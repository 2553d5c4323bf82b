"""Saying what is wanted: the signed desired state into OpenBao first, then onto NATS."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from services.metadata.domain.journal import Journal
from services.metadata.flows.acl_following import AclSource
from services.metadata.ports import StreamDeclaration
from svc_core.crypto import contexts
from svc_core.domain.acl import Acl
from svc_core.domain.desired import DesiredState, TopicGrant
from svc_core.domain.identity import ServiceName
from svc_core.domain.nats_accounts import streamed
from svc_core.domain.subjects import CA_CERT, DESIRED_PATH, DURABLES, StreamSpec
from svc_core.errors import BusError, RejectedError, StaleWriteError
from svc_core.flows.statements import Author, Statements
from svc_core.ports.bus import Bus
from svc_core.ports.secret_store import Document, SecretStore
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire import desired as desired_wire
from svc_core.wire import documents
from svc_core.wire.documents import SignedDocument

log = structlog.get_logger()

_LOOK_AGAIN_S: Final = 1.0
_STORED_WITHIN_S: Final = 1.0


def grants_of(acl: Acl) -> Mapping[ServiceName, TopicGrant]:
    """Return the permissions as the desired state carries them: what NATS has to be told.

    Every service has a user. Topics without a stream are granted by keys alone, and ten thousand
    of them would not fit into the one document that everybody reads.
    """
    return {
        service: streamed(TopicGrant(tuple(sorted(p.publish)), tuple(sorted(p.subscribe))))
        for service, p in sorted(acl.services.items())
    }


def desired_state(journal: Journal, acls: AclSource, around: Surroundings) -> DesiredState:
    """Return what ``journal`` and the rights of now imply that everybody should trust and do."""
    active = journal.active
    if active is None:
        raise ValueError("without an active issuer there is nothing to want")
    return DesiredState(
        version=journal.version,
        profile=around.profile.name,
        active=active.name,
        issuers=tuple(i.as_trusted() for i in journal.trusted),
        root_pem=journal.roots.pem,
        grants=grants_of(acls.current),
        kicked_issuers=journal.kicked,
        made_at=around.clock.now(),
        revoked=tuple(sorted(acls.revoked)),
        audit=journal.stated,
        cut_leaves=journal.cut_leaves,
        fenced=journal.fenced,
        trust_mode=journal.trust_mode,
    )


@dataclass(frozen=True, slots=True)
class Streams:
    """How the streams that carry everything are declared."""

    declaration: StreamDeclaration
    replicas: int
    specs: tuple[StreamSpec, ...]


@dataclass(frozen=True, slots=True)
class Signatory:
    """Who signs states, and whose states count."""

    author: Author
    statements: Statements


class Announcer:
    """The loop that repeats on NATS what OpenBao holds, and declares the streams for it."""

    name: Final = "announcer"

    def __init__(
        self,
        store: SecretStore,
        bus: Bus,
        signatory: Signatory,
        streams: Streams,
        own_follower: Wakeup,
        around: Surroundings,
    ) -> None:
        self._store = store
        self._bus = bus
        self._signatory = signatory
        self._streams = streams
        self._own_follower = own_follower
        self._around = around
        self._newest: SignedDocument | None = None
        self._newest_version = 0
        self._said: SignedDocument | None = None
        self._said_version = 0
        self._declared = False
        self._wakeup = Wakeup()

    async def store(self, state: DesiredState) -> None:
        """Sign and store ``state``; from then on it is the truth, announced or not.

        Raises:
            StaleWriteError: a later version is stored, or was stored meanwhile: whoever was frozen
                on the way here must not put an older state over it.
        """
        body = desired_wire.encode(state)
        document = await self._signatory.author.sign(body, context=contexts.DESIRED_STATE)
        stored = await self._store.fetch(DESIRED_PATH)
        if stored is not None and await self._version_of(stored.data) > state.version:
            raise StaleWriteError(f"a later state than version {state.version} is stored")
        await self._store.store(
            DESIRED_PATH,
            documents.encode_entry(document),
            expected_version=0 if stored is None else stored.version,
        )
        self._newest, self._newest_version = document, state.version
        self._wakeup.set()
        self._own_follower.set()
        log.info("desired.stored", version=state.version, active=state.active)

    async def _version_of(self, entry: Document) -> int:
        """Return the version of the state in ``entry``; -1 when it is none of the authority's.

        Such a one is replaced, however new it says it is: nobody follows it.
        """
        try:
            document = documents.decode_entry(entry)
            body = await self._signatory.statements.verified(
                document, context=contexts.DESIRED_STATE
            )
            return desired_wire.decode(body).version
        except RejectedError as err:
            log.warning("desired.worthless", code=err.code, reason=str(err))
            return -1

    async def run(self) -> None:
        """Declare and announce for ever."""
        while True:
            try:
                await self._declare()
                await self._announce()
                self._around.health.beat(self.name, f"version {self._said_version}")
            except BusError as err:
                self._around.health.fail(self.name, str(err))
            except TimeoutError:
                # It was heard live. While the stream has no leader it is not stored, and waiting
                # for that would keep back what is newer.
                self._around.health.fail(self.name, f"version {self._newest_version} is not stored")
            await self._wakeup.wait(_LOOK_AGAIN_S)

    async def _declare(self) -> None:
        if not self._declared:
            streams = self._streams
            await streams.declaration.declare(streams.specs, DURABLES, replicas=streams.replicas)
            self._declared = True
            log.info("streams.declared", streams=len(streams.specs), durables=len(DURABLES))

    async def _announce(self) -> None:
        # Not by its version: whoever held the lease meanwhile may have said the same one under an
        # identity that goes.
        if self._newest is None or self._newest is self._said:
            return
        document, version = self._newest, self._newest_version
        message_id = f"desired.{version}.{document.signature[:8].hex()}"
        async with asyncio.timeout(_STORED_WITHIN_S):
            await self._bus.publish(CA_CERT, documents.encode(document), message_id=message_id)
        self._said, self._said_version = document, version
        log.info("desired.announced", version=version)
