"""Sealing a bundle to the key its instance registered, so that it may lie in the store."""

import asyncio
from dataclasses import replace
from datetime import datetime

from svc_core.crypto import contexts, kem, sealing
from svc_core.crypto.kdf import labelled_info
from svc_core.flows.statements import Author
from svc_core.ports.time import Entropy
from svc_core.wire import framing, stored_bundle
from svc_core.wire.instance_kem import InstanceKem
from svc_core.wire.stored_bundle import StoredBundle


class BundleSealer:
    """Seals and signs bundles at rest under Metadata's identity."""

    def __init__(self, author: Author, entropy: Entropy) -> None:
        self._author = author
        self._entropy = entropy

    async def seal(
        self, encoded: bytes, recipient: InstanceKem, *, version: int, expires_at: datetime
    ) -> StoredBundle:
        """Return ``encoded``, a bundle, as only the holder of the key of ``recipient`` opens it.

        Args:
            encoded: the bytes of the bundle: secret.
            recipient: whose key was verified.
            version: of the bundle.
            expires_at: of the bundle.
        """
        sealed = await asyncio.to_thread(self._sealed, encoded, recipient, version, expires_at)
        signature = await self._author.sign_bytes(
            stored_bundle.signing_input(sealed), context=contexts.STORED_BUNDLE
        )
        return replace(sealed, signature=signature)

    def _sealed(
        self, encoded: bytes, recipient: InstanceKem, version: int, expires_at: datetime
    ) -> StoredBundle:
        encapsulation, secret = kem.encapsulate(recipient.public)
        draft = StoredBundle(
            service=recipient.service,
            instance=recipient.instance,
            version=version,
            expires_at=expires_at,
            recipient_key=stored_bundle.key_digest(recipient.public),
            encapsulation=encapsulation,
            sealed=b"",
            signer=self._author.id,
        )
        sealed = sealing.seal(
            secret,
            encoded,
            info=labelled_info(
                contexts.SEAL_STORED_BUNDLE,
                recipient.service.encode(),
                recipient.instance.encode(),
            ),
            aad=stored_bundle.header_aad(draft),
            entropy=self._entropy,
        )
        return replace(draft, sealed=framing.encode(sealed))
