"""What happens to one message's bytes: sealed and opened, its proof and its age checked.

Pure: all that is needed is in the arguments. What takes microseconds runs in the event loop; the
signatures, which take up to milliseconds and free the interpreter while they do, run in worker
threads (`svc_core.flows.message_signing`, `svc_core.flows.message_verifying`).
"""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from svc_core.crypto import contexts, kdf, merkle, sealing
from svc_core.domain.identity import Subject
from svc_core.domain.keys import TopicKey
from svc_core.errors import FutureMessageError, StaleMessageError
from svc_core.ports.time import Entropy
from svc_core.wire import framing, signed_message
from svc_core.wire.signed_message import SignedMessage


class Claim(NamedTuple):
    """What a signature has to cover, and the signature that is said to."""

    context: bytes
    covered: bytes
    signature: bytes


def encrypt(header: bytes, payload: bytes, key: TopicKey, *, entropy: Entropy) -> bytes:
    """Return ``payload`` encrypted under ``key``, bound to ``header``, framed."""
    return framing.encode(
        sealing.seal(
            key.secret, payload, info=_info(key.topic, key.key_id), aad=header, entropy=entropy
        )
    )


def decrypt(header: bytes, framed: bytes, key: TopicKey) -> bytes:
    """Return the payload in ``framed``.

    Raises:
        VerificationError: the encryption does not hold.
        MalformedMessageError: ``framed`` is no framed encryption.
    """
    info = _info(key.topic, key.key_id)
    return sealing.unseal(key.secret, framing.decode(framed), info=info, aad=header)


def check_age(sent_at: datetime, *, now: datetime, made_after: datetime, skew: timedelta) -> None:
    """Refuse a time that no honest clock within the tolerated skew could have said.

    Args:
        sent_at: what the message says.
        now: this side's time.
        made_after: when the message's signing key began to be valid.
        skew: how far two clocks may be apart.

    Raises:
        StaleMessageError: it lies before the key's life.
        FutureMessageError: it lies in the future.
    """
    if sent_at < made_after - skew:
        raise StaleMessageError(f"made at {sent_at.isoformat()}, before its key was")
    if sent_at > now + skew:
        raise FutureMessageError(f"made at {sent_at.isoformat()}, in the future")


def claim_of(message: SignedMessage, header: bytes) -> Claim:
    """Return what must be verified for ``message``: itself, or the batch it proves to be of.

    Raises:
        VerificationError: its path fits no batch of that size.
    """
    proof = message.batch_proof
    if proof is None:
        covered = signed_message.signing_input(header, message.payload)
        return Claim(contexts.SIGNED_MESSAGE, covered, message.signature)
    leaf = merkle.leaf_hash(proof.blind, header, message.payload)
    root = merkle.root_of(leaf, index=proof.index, size=proof.size, path=proof.path)
    covered = signed_message.root_input(message, proof.size, root)
    return Claim(contexts.BATCH_ROOT, covered, message.signature)


@lru_cache(maxsize=1024)
def _info(topic: Subject, key_id: str) -> bytes:
    return kdf.labelled_info(contexts.SEAL_MESSAGE, topic.encode(), key_id.encode())
