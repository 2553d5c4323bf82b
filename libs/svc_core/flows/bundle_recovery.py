"""Reading the bundle that lies in OpenBao for this instance: keys while the authority is away.

It is accepted by the rules of a pulled one, but for its freshness: nothing asked for it, so no
nonce binds it to now. Instead it must be at least as new as any bundle this instance has ever
used, over restarts too, and must not have ended.
"""

import asyncio
from dataclasses import dataclass

from svc_core.crypto import contexts, sealing
from svc_core.crypto.kdf import labelled_info
from svc_core.crypto.kem import KemKey
from svc_core.domain.bundle import ServiceBundle
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.subjects import bundle_path
from svc_core.errors import (
    BundleRecipientError,
    BundleRollbackError,
    RejectedError,
    VerificationError,
)
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.flows.statements import Statements
from svc_core.ports.bundle_memory import BundleMemory
from svc_core.wire import framing, service_bundle, stored_bundle
from svc_core.wire.stored_bundle import StoredBundle


class BundleKeyError(RejectedError):
    """A stored bundle is sealed to another key than this instance has."""

    code = "bundle.other_key"
    advice = "restore the state directory of this instance, or give it another name"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom stored bundles must be for, and what opens them."""

    service: ServiceName
    instance: InstanceName
    kem: KemKey


class BundleRecovery:
    """What lies in the store for one instance, and the newest version it has used."""

    def __init__(
        self,
        owner: Owner,
        documents: PartedDocuments,
        statements: Statements,
        memory: BundleMemory,
    ) -> None:
        self._owner = owner
        self._documents = documents
        self._statements = statements
        self._memory = memory

    async def fetch(self, *, in_use: int) -> ServiceBundle | None:
        """Return the stored bundle if it is another one than that in use; None if there is none.

        Args:
            in_use: version of the bundle in use; 0 before the first.

        Raises:
            SecretStoreError: OpenBao does not answer.
            AccessDeniedError: this service may not read it (any more).
            MalformedMessageError: what lies there is no such record, or is damaged.
            BundleRecipientError: it is somebody else's.
            BundleKeyError: it is sealed to a key that this instance does not have.
            IdentityError: its signer is not one of the pinned identities.
            VerificationError: signature, seal or what is sealed do not hold.
            BundleRollbackError: it is older than one this instance has used.
        """
        found = await self._documents.fetch(bundle_path(self._owner.service, self._owner.instance))
        if found is None:
            return None
        stored = await asyncio.to_thread(stored_bundle.decode, found[0])
        if stored.version == in_use:
            return None
        await self._verify(stored)
        newest = max(in_use, await self._memory.fetch())
        if stored.version < newest:
            raise BundleRollbackError(f"stored bundle version {stored.version} is below {newest}")
        return await asyncio.to_thread(self._opened, stored)

    async def remember(self, version: int) -> None:
        """Note that ``version`` is in use: nothing older that is stored is accepted any more.

        Raises:
            ConfigError: it cannot be written down.
        """
        await self._memory.store(version)

    async def _verify(self, stored: StoredBundle) -> None:
        owner = self._owner
        if (stored.service, stored.instance) != (owner.service, owner.instance):
            raise BundleRecipientError(f"stored for {stored.service}/{stored.instance}")
        if stored.recipient_key != stored_bundle.key_digest(owner.kem.public):
            raise BundleKeyError("the stored bundle is sealed to another key")
        await self._statements.verify_bytes(
            stored.signer,
            stored.signature,
            stored_bundle.signing_input(stored),
            context=contexts.STORED_BUNDLE,
        )

    def _opened(self, stored: StoredBundle) -> ServiceBundle:
        encoded = sealing.unseal(
            self._owner.kem.decapsulate(stored.encapsulation),
            framing.decode(stored.sealed),
            info=labelled_info(
                contexts.SEAL_STORED_BUNDLE, stored.service.encode(), stored.instance.encode()
            ),
            aad=stored_bundle.header_aad(stored),
        )
        bundle = service_bundle.decode(encoded)
        if (bundle.version, bundle.expires_at) != (stored.version, stored.expires_at):
            raise VerificationError
        return bundle
