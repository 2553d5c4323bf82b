"""Keeping a bundle at rest for every instance that may need one while the authority is away.

Only the holder of the lease stores them, never over a newer one. They are sealed to the key each
instance registered, so what lies there opens nothing for whoever else reads it. Each round makes
what is stored the same as what is wanted, whatever happened before; so a bundle that somebody
removed, or a former holder stored, is put right within a lead.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from services.metadata.domain.bundle_recipients import keyed_services
from services.metadata.domain.key_ledger import KeySnapshot
from services.metadata.flows.bundle_assembling import BundleAssembler, encode_bundle
from services.metadata.flows.bundle_recipients import BundleRecipients
from services.metadata.flows.bundle_sealing import BundleSealer
from services.metadata.flows.instance_keys import InstanceKeys
from services.metadata.flows.key_issuance import KeyIssuance
from svc_core.crypto import contexts
from svc_core.domain.bundle import ServiceBundle
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.subjects import BUNDLES_PATH, bundle_path
from svc_core.errors import (
    BundleRecipientError,
    MalformedMessageError,
    RejectedError,
    StaleWriteError,
)
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.flows.statements import Statements
from svc_core.ports.secret_store import SecretStore
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire import stored_bundle
from svc_core.wire.instance_kem import InstanceKem
from svc_core.wire.stored_bundle import StoredBundle

log = structlog.get_logger()

_Place = tuple[ServiceName, InstanceName]


@dataclass(frozen=True, slots=True)
class BundleTools:
    """What bundles at rest are made with."""

    assembler: BundleAssembler
    sealer: BundleSealer
    statements: Statements
    """The pinned identities: a stored bundle that is none of theirs is replaced; so it is signed
    anew when the identity that signed it goes."""


@dataclass(frozen=True, slots=True)
class _Bundle:
    """What one service is to have now."""

    snapshot: KeySnapshot
    bundle: ServiceBundle
    encoded: bytes = field(repr=False)


class BundleKeeper:
    """The loop that stores a bundle for every instance, and removes those of who is none."""

    name: Final = "bundle_keeping"

    def __init__(
        self,
        store: SecretStore,
        keys: KeyIssuance,
        instances: InstanceKeys,
        tools: BundleTools,
        around: Surroundings,
    ) -> None:
        """Prepare the loop.

        Args:
            store: where bundles, registered keys and claims are.
            keys: what bundles are made from, and whether this process may store any.
            instances: the keys to seal to.
            tools: how bundles are made and judged.
            around: clock, profile and health.
        """
        self._documents = PartedDocuments(store)
        self._keys = keys
        self._recipients = BundleRecipients(store, instances, around.clock)
        self._tools = tools
        self._around = around
        self._kept: dict[_Place, int] = {}
        """Version of the bundle at each place, as this process last wrote or read it."""
        self._generation = tools.statements.generation
        self.hinted = Wakeup()
        """Set when there are other keys, or somebody asked that none is kept for yet."""

    async def run(self) -> None:
        """Store at each change, and look for newcomers once per lead; for ever."""
        while True:
            if self._keys.ledgers.term is None:
                self._kept.clear()
                self._recipients.forget_all()
                self._around.health.beat(self.name, "standing by")
            else:
                await self._keep_all()
            await self.hinted.wait(self._around.profile.keys.lead.total_seconds())

    def note_pull(self, service: ServiceName, instance: InstanceName) -> None:
        """Look soon whether ``instance``, which has just pulled, has registered a key."""
        if (service, instance) not in self._kept:
            self.hinted.set()

    async def withdraw(self, service: ServiceName) -> int:
        """Remove every bundle of ``service``, and return how many there were.

        Raises:
            SecretStoreError: OpenBao does not answer; some may be left.
        """
        folder = f"{BUNDLES_PATH}/{service}"
        names = await self._documents.fetch_names(folder)
        for name in names:
            await self._documents.remove(f"{folder}/{name}")
            self._kept.pop((service, InstanceName(name)), None)
        if names:
            log.info("bundles.withdrawn", of=service, bundles=len(names))
        return len(names)

    async def _keep_all(self) -> None:
        snapshot = self._keys.snapshot
        if snapshot is None:
            return
        if self._generation != self._tools.statements.generation:
            # What lies there may be signed by an identity that was removed: read all of it again.
            self._generation = self._tools.statements.generation
            self._kept.clear()
        services = keyed_services(snapshot.acl)
        for service in services:
            await self._keep_service(service, snapshot)
        for name in await self._documents.fetch_names(BUNDLES_PATH):
            former = ServiceName(name.removesuffix("/"))
            if former not in services and self._may_store(snapshot):
                await self.withdraw(former)
        detail = f"version {snapshot.version}, bundles: {len(self._kept)}"
        self._around.health.beat(self.name, detail)

    def _may_store(self, snapshot: KeySnapshot) -> bool:
        """Say whether ``snapshot`` is still what this process issues; asked before each effect."""
        newest = self._keys.snapshot
        is_newest = newest is not None and newest.version == snapshot.version
        return is_newest and self._keys.ledgers.term == snapshot.ledger.term

    async def _keep_service(self, service: ServiceName, snapshot: KeySnapshot) -> None:
        lying = await self._documents.fetch_names(f"{BUNDLES_PATH}/{service}")
        recipients = await self._recipients.fetch(
            service, snapshot.ledger, may_forget=lambda: self._may_store(snapshot)
        )
        for place in [p for p in self._kept if p[0] == service and p[1] not in lying]:
            del self._kept[place]
        due = [r for r in recipients if self._kept.get(_place(r)) != snapshot.version]
        if due:
            made = await asyncio.to_thread(self._made, service, snapshot)
            for recipient in due:
                await self._keep(recipient, made)
            log.info("bundles.kept", of=service, version=snapshot.version, bundles=len(due))
        for name in sorted({*lying} - {r.instance for r in recipients}):
            if self._may_store(snapshot):
                await self._documents.remove(f"{BUNDLES_PATH}/{service}/{name}")
                log.info("bundle.removed", of=f"{service}/{name}")

    def _made(self, service: ServiceName, snapshot: KeySnapshot) -> _Bundle:
        bundle = self._tools.assembler.assemble(service, snapshot)
        return _Bundle(snapshot, bundle, encode_bundle(bundle))

    async def _keep(self, recipient: InstanceKem, made: _Bundle) -> None:
        path = bundle_path(recipient.service, recipient.instance)
        stored, document_version = await self._lying(path, recipient)
        if stored is None or stored.version < made.bundle.version:
            sealed = await self._tools.sealer.seal(
                made.encoded,
                recipient,
                version=made.bundle.version,
                expires_at=made.bundle.expires_at,
            )
            if not self._may_store(made.snapshot):
                return
            payload = await asyncio.to_thread(stored_bundle.encode, sealed)
            try:
                await self._documents.store(path, payload, expected_version=document_version)
            except StaleWriteError:
                # Whoever was first holds the lease now, or will be replaced at the next round.
                log.info("bundle.overtaken", of=f"{recipient.service}/{recipient.instance}")
                return
        self._kept[_place(recipient)] = made.bundle.version

    async def _lying(self, path: str, recipient: InstanceKem) -> tuple[StoredBundle | None, int]:
        """Return the bundle there, unless it is none for ``recipient``, and the document's version.

        What is none of ours, however new it says it is, must not keep ours out.
        """
        try:
            found = await self._documents.fetch(path)
        except MalformedMessageError as err:
            self._report_worthless(path, err)
            await self._documents.remove(path)
            return None, 0
        if found is None:
            return None, 0
        payload, version = found
        try:
            return await self._verified(payload, recipient), version
        except RejectedError as err:
            self._report_worthless(path, err)
            return None, version

    async def _verified(self, payload: bytes, recipient: InstanceKem) -> StoredBundle:
        stored = await asyncio.to_thread(stored_bundle.decode, payload)
        if (stored.service, stored.instance) != _place(recipient):
            raise BundleRecipientError(f"stored for {stored.service}/{stored.instance}")
        if stored.recipient_key != stored_bundle.key_digest(recipient.public):
            raise BundleRecipientError("sealed to a former key")
        await self._tools.statements.verify_bytes(
            stored.signer,
            stored.signature,
            stored_bundle.signing_input(stored),
            context=contexts.STORED_BUNDLE,
        )
        return stored

    def _report_worthless(self, path: str, err: RejectedError) -> None:
        log.warning("bundle.worthless", path=path, code=err.code, reason=str(err))


def _place(kem: InstanceKem) -> _Place:
    return kem.service, kem.instance
