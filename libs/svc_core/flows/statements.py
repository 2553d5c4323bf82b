"""Signed statements: who may make them, and the check before anything in them is believed."""

import asyncio
from collections.abc import Iterable
from typing import Final

from svc_core.crypto.signing import Algorithm, Signer, Verifier
from svc_core.errors import IdentityError
from svc_core.wire.documents import SignedDocument, signing_input
from svc_core.wire.identities import PublicIdentity

IDENTITY_ALGORITHM: Final = Algorithm.ML_DSA_87
"""Of every identity key: control messages are few, so the strongest costs nothing."""


class Statements:
    """Verifies documents by signers known beforehand; a key never comes with the message."""

    def __init__(self, identities: Iterable[PublicIdentity]) -> None:
        self._verifiers = _verifiers(identities)
        self._replaced = 0

    @property
    def signers(self) -> tuple[str, ...]:
        """Whose documents are believed now."""
        return tuple(self._verifiers)

    @property
    def generation(self) -> int:
        """How often they were replaced: what was verified before may be of nobody known now."""
        return self._replaced

    def replace(self, identities: Iterable[PublicIdentity]) -> None:
        """Believe these from now on and nobody else; all at once, or nothing when one is bad.

        Raises:
            ValueError: one is no public key.
        """
        self._verifiers = _verifiers(identities)
        self._replaced += 1

    def verifier(self, signer: str) -> Verifier:
        """Return the verifier of ``signer``, or raise `IdentityError`."""
        try:
            return self._verifiers[signer]
        except KeyError:
            raise IdentityError(f"{signer!r} is not one of the pinned identities") from None

    async def verified(self, document: SignedDocument, *, context: bytes) -> bytes:
        """Return the body of ``document`` once its signature holds.

        Raises:
            IdentityError: the signer is not known.
            VerificationError: the signature is not its.
        """
        await self.verify_bytes(
            document.signer,
            document.signature,
            signing_input(document.signer, document.body),
            context=context,
        )
        return document.body

    async def verify_bytes(
        self, signer: str, signature: bytes, message: bytes, *, context: bytes
    ) -> None:
        """Refuse ``message`` unless ``signature`` over it is that of ``signer``."""
        verifier = self.verifier(signer)
        await asyncio.to_thread(verifier.verify, signature, message, context=context)


def _verifiers(identities: Iterable[PublicIdentity]) -> dict[str, Verifier]:
    return {i.id: Verifier.from_public(Algorithm(i.algorithm), i.public) for i in identities}


class Author:
    """Signs documents under one identity."""

    def __init__(self, signer_id: str, signer: Signer) -> None:
        self.id = signer_id
        self._signer = signer

    @property
    def public(self) -> bytes:
        """The raw public key."""
        return self._signer.public

    async def sign(self, body: bytes, *, context: bytes) -> SignedDocument:
        """Return ``body`` with this identity's signature."""
        signature = await self.sign_bytes(signing_input(self.id, body), context=context)
        return SignedDocument(body, self.id, signature)

    async def sign_bytes(self, message: bytes, *, context: bytes) -> bytes:
        """Return the bare signature over ``message``."""
        return await asyncio.to_thread(self._signer.sign, message, context=context)
