"""The two jobs a worker thread does for the secure channel: make a message, open a message.

Both are pure: all they need is in the job, and they touch nothing shared.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from svc_core.crypto import contexts, kdf, sealing
from svc_core.crypto.signing import Signer, Verifier
from svc_core.domain.keys import TopicKey
from svc_core.errors import FutureMessageError, StaleMessageError
from svc_core.wire import framing, signed_message
from svc_core.wire.signed_message import SignedMessage


@dataclass(frozen=True, slots=True)
class Acceptance:
    """When a message must have been made to be taken at ``now``."""

    now: datetime
    made_after: datetime
    """When its signing key began to be valid."""
    skew: timedelta

    def check(self, sent_at: datetime) -> None:
        """Refuse a time that no honest clock within the tolerated skew could have said.

        Raises:
            StaleMessageError: it lies before the key's life.
            FutureMessageError: it lies in the future.
        """
        if sent_at < self.made_after - self.skew:
            raise StaleMessageError(f"made at {sent_at.isoformat()}, before its key was")
        if sent_at > self.now + self.skew:
            raise FutureMessageError(f"made at {sent_at.isoformat()}, in the future")


@dataclass(frozen=True, slots=True)
class SealJob:
    """A header without payload and signature, and what to fill them in with."""

    header: SignedMessage
    payload: bytes
    key: TopicKey
    signer: Signer
    entropy: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A message whose header was accepted, and the keys it named."""

    message: SignedMessage
    key: TopicKey
    verifier: Verifier
    acceptance: Acceptance


def seal_message(job: SealJob) -> bytes:
    """Encrypt, sign and encode one message."""
    sealed = sealing.seal(
        job.key.secret,
        job.payload,
        info=_info(job.key),
        aad=signed_message.header_aad(job.header),
        entropy=job.entropy,
    )
    unsigned = replace(job.header, payload=framing.encode(sealed))
    signature = job.signer.sign(
        signed_message.signing_input(unsigned), context=contexts.SIGNED_MESSAGE
    )
    return signed_message.encode(replace(unsigned, signature=signature))


def open_message(job: OpenJob) -> bytes:
    """Verify one message, check its age, and return its payload.

    Raises:
        VerificationError: the signature or the encryption does not hold.
        StaleMessageError, FutureMessageError: it was not made in the life of its key.
        MalformedMessageError: the payload is no framed encryption.
    """
    message = job.message
    job.verifier.verify(
        message.signature,
        signed_message.signing_input(message),
        context=contexts.SIGNED_MESSAGE,
    )
    job.acceptance.check(message.sent_at)
    return sealing.unseal(
        job.key.secret,
        framing.decode(message.payload),
        info=_info(job.key),
        aad=signed_message.header_aad(message),
    )


def _info(key: TopicKey) -> bytes:
    return kdf.labelled_info(contexts.SEAL_MESSAGE, key.topic.encode(), key.key_id.encode())
