"""Signatures for messages: one each, or one for all that queued while the last was being made.

Self-clocked: nothing waits for a timer. A message that comes alone while nobody is signing is
signed by itself; those that come within the same few turns of the event loop, or while a signature
is made, share the next one, at most 64 (ADR-0014).
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from svc_core.crypto import contexts, merkle
from svc_core.crypto.signing import Signer
from svc_core.domain.batch_proof import BATCH_LIMIT, BatchProof
from svc_core.domain.signing_mode import SigningMode
from svc_core.runtime.grouped_worker import each
from svc_core.wire import signed_message
from svc_core.wire.signed_message import SignedMessage

GROUP_LIMITS: Final = {SigningMode.SINGLE: 8, SigningMode.BATCHED: BATCH_LIMIT}
"""Most messages handed to a thread at once: the first of them waits for the last."""


class Unsigned(NamedTuple):
    """A sealed message that lacks its signature."""

    signer: Signer
    message: SignedMessage
    """Without payload, signature and proof."""
    header: bytes
    """`svc_core.wire.signed_message.header_aad` of ``message``."""
    payload: bytes
    """Framed ciphertext."""
    blind: bytes
    """32 random bytes, used when it is signed in a batch."""


class Signed(NamedTuple):
    """What the message lacked."""

    signature: bytes
    proof: BatchProof | None


SignGroup = Callable[[Sequence[Unsigned]], list[Signed | Exception]]


def signing_function(mode: SigningMode) -> SignGroup:
    """Return the function that signs what queued, in a worker thread."""
    return sign_together if mode is SigningMode.BATCHED else each(sign_alone)


def sign_alone(unsigned: Unsigned) -> Signed:
    """Sign one message by itself."""
    covered = signed_message.signing_input(unsigned.header, unsigned.payload)
    return Signed(unsigned.signer.sign(covered, context=contexts.SIGNED_MESSAGE), None)


def sign_together(group: Sequence[Unsigned]) -> list[Signed | Exception]:
    """Sign up to 64 messages with one signature for each key among them."""
    signed: list[Signed | Exception] = []
    # The key changes at most once in a group: at the boundary of an epoch.
    for _, same_key in groupby(group, key=lambda unsigned: id(unsigned.signer)):
        signed += _sign_batch(list(same_key))
    return signed


def _sign_batch(batch: Sequence[Unsigned]) -> Sequence[Signed | Exception]:
    if len(batch) == 1:
        return each(sign_alone)(batch)
    first, size = batch[0], len(batch)
    leaves = [merkle.leaf_hash(one.blind, one.header, one.payload) for one in batch]
    root, paths = merkle.tree(leaves)
    covered = signed_message.root_input(first.message, size, root)
    try:
        signature = first.signer.sign(covered, context=contexts.BATCH_ROOT)
    except Exception as err:  # noqa: BLE001 (handed on to whoever wants the signature)
        return [err] * size
    return [
        Signed(signature, BatchProof(size, index, one.blind, path))
        for index, (one, path) in enumerate(zip(batch, paths, strict=True))
    ]
