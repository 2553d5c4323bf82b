"""Everything an attacker or an accident can do to a message, and how each is refused.

Read it as a table: what was done, and the error that says so. Nothing here is ever opened; the
good messages the attacks start from are, before and after.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace as altered

from svc_core.crypto import contexts, merkle
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.batch_proof import BatchProof
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, WATCHER, ServiceName
from svc_core.domain.keys import topic_key_id
from svc_core.domain.subjects import AUTH_REQUEST, RESPONDER
from svc_core.errors import (
    AlgorithmMismatchError,
    FutureMessageError,
    KeyExpiredError,
    MalformedMessageError,
    OversizedMessageError,
    PermissionDeniedError,
    ProducerNotAllowedError,
    RejectedError,
    StaleMessageError,
    TopicMismatchError,
    UnknownKeyError,
    VerificationError,
)
from svc_core.flows.message_crypto import encrypt
from svc_core.flows.secure_channel import SecureChannel
from svc_core.wire import signed_message
from svc_core.wire.signed_message import SignedMessage, header_aad, root_input, signing_input
from tests.batches import batch_of
from tests.builders import DEMO, NOW, KeyAuthority, make_channel, seeded_entropy
from tests.fakes.clock import LoopClock

KEYS = KeyAuthority()
EPOCH = DEMO.keys.current(NOW)
ENDED = Epoch(EPOCH.number - 4)
LONG_AGO = Epoch(3)
SKEW = DEMO.skew
INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Good:
    """Good messages of the gatekeeper to start from."""

    alone: SignedMessage
    alone_too: SignedMessage
    batch: tuple[SignedMessage, ...]
    """Seven under one signature."""
    other_batch: tuple[SignedMessage, ...]


Forge = Callable[[Good], bytes]


async def good_messages() -> Good:
    first, second = await batch_of(8), await batch_of(8, tag="n")
    alone, *batch = map(signed_message.decode, first)
    alone_too, *other = map(signed_message.decode, second)
    return Good(alone, alone_too, tuple(batch), tuple(other))


# --- the attacker's tools -------------------------------------------------------------------------


def flipped(raw: bytes, at: int = 0) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def alone(**changes: Any) -> Forge:
    """Change a message that was signed by itself, and leave its signature."""
    return lambda good: signed_message.encode(altered(good.alone, **changes))


def in_batch(**changes: Any) -> Forge:
    """Change a message of a batch, and leave signature and proof."""
    return lambda good: signed_message.encode(altered(good.batch[2], **changes))


def from_another(name: str, *, batch: bool) -> Forge:
    """Give one good message one field of another good message."""

    def forge(good: Good) -> bytes:
        one, other = (good.batch[2], good.other_batch[3]) if batch else (good.alone, good.alone_too)
        return signed_message.encode(altered(one, **{name: getattr(other, name)}))

    return forge


def proof(**changes: Any) -> Forge:
    """Change the proof of a message of a batch."""

    def forge(good: Good) -> bytes:
        message = good.batch[2]
        return signed_message.encode(
            altered(message, batch_proof=replace(proof_of(message), **changes))
        )

    return forge


def proof_of(message: SignedMessage) -> BatchProof:
    assert message.batch_proof is not None
    return message.batch_proof


def signed_by(service: ServiceName, epoch: Epoch = EPOCH, **changes: Any) -> Forge:
    """Seal and sign a message as ``service`` could with its own key and the topic's."""

    def forge(good: Good) -> bytes:
        return signed(altered(good.alone, **changes), service, epoch)

    return forge


def signed(
    message: SignedMessage, service: ServiceName, epoch: Epoch, *, seal: bool = True
) -> bytes:
    key = KEYS.topic_key(message.topic, epoch)
    header = header_aad(message)
    payload = message.payload
    if seal:
        payload = encrypt(header, b"forged", key, entropy=seeded_entropy())
    seed = KEYS.signing_key(service, epoch).seed
    signature = Signer.from_seed(KEYS.algorithm, seed).sign(
        signing_input(header, payload), context=contexts.SIGNED_MESSAGE
    )
    return signed_message.encode(altered(message, payload=payload, signature=signature))


def epochs(epoch: Epoch) -> dict[str, Any]:
    return {
        "key_epoch": epoch.number,
        "signer_key_id": epoch.number,
        "encrypt_key_id": topic_key_id(AUTH_REQUEST, epoch),
    }


def batch_signed_by(service: ServiceName, context: bytes = contexts.BATCH_ROOT) -> Forge:
    """Sign a batch of one's own that contains the gatekeeper's message."""

    def forge(good: Good) -> bytes:
        message = good.alone
        blinds = [bytes([n]) * 32 for n in range(2)]
        leaves = [merkle.leaf_hash(b, header_aad(message), message.payload) for b in blinds]
        root, paths = merkle.tree(leaves)
        seed = KEYS.signing_key(service, EPOCH).seed
        signature = Signer.from_seed(KEYS.algorithm, seed).sign(
            root_input(message, 2, root), context=context
        )
        claimed = BatchProof(2, 1, blinds[1], paths[1])
        return signed_message.encode(altered(message, signature=signature, batch_proof=claimed))

    return forge


def inner_node_as_leaf(good: Good) -> bytes:
    """Shorten the path by one and pass the sibling pair off as the message."""
    message = good.batch[2]
    was = proof_of(message)
    shorter = replace(was, size=4, index=was.index // 2, path=was.path[32:])
    return signed_message.encode(altered(message, batch_proof=shorter))


def untagged(good: Good) -> bytes:
    """Leave out the format tag, as the prototype does."""
    return signed_message.encode(good.alone)[2:]


def with_raw_proof(proof_bytes: bytes) -> Forge:
    """Put other bytes where the proof is; they end the record."""

    def forge(good: Good) -> bytes:
        raw = signed_message.encode(good.alone)
        assert raw.endswith(b"\x00")
        return raw[:-1] + b"\x02" + bytes([len(proof_bytes) * 2]) + proof_bytes

    return forge


def raw(change: Callable[[bytes], bytes]) -> Forge:
    return lambda good: change(signed_message.encode(good.alone))


def raw_of_batch(change: Callable[[bytes], bytes]) -> Forge:
    return lambda good: change(signed_message.encode(good.batch[2]))


# --- the table ------------------------------------------------------------------------------------

CHANGED_FIELDS: Mapping[str, tuple[Mapping[str, Any], type[RejectedError]]] = {
    "message id": ({"message_id": "m-1000"}, VerificationError),
    "message type": ({"message_type": "other"}, VerificationError),
    "CA epoch": ({"ca_epoch": 1}, VerificationError),
    "key epoch to the one before": (epochs(Epoch(EPOCH.number - 1)), VerificationError),
    "key epoch to one that ended": (epochs(LONG_AGO), UnknownKeyError),
    "key epoch without its topic key": (
        {"key_epoch": EPOCH.number - 1, "signer_key_id": EPOCH.number - 1},
        MalformedMessageError,
    ),
    "key epoch without its signing key": (
        {"key_epoch": EPOCH.number - 1},
        MalformedMessageError,
    ),
    "signer to one that consumes": ({"signer": AUTHCONTROLLER}, ProducerNotAllowedError),
    "signer to a stranger": ({"signer": ServiceName("mallory")}, ProducerNotAllowedError),
    "time by a microsecond": ({"sent_at": NOW + INSTANT}, VerificationError),
    "time by a week": ({"sent_at": NOW - timedelta(days=7)}, VerificationError),
    "topic": ({"topic": RESPONDER}, TopicMismatchError),
    "topic key to a later generation": (
        {"encrypt_key_id": topic_key_id(AUTH_REQUEST, EPOCH, generation=1)},
        UnknownKeyError,
    ),
    "topic key to another topic's": (
        {"encrypt_key_id": topic_key_id(RESPONDER, EPOCH)},
        UnknownKeyError,
    ),
    "payload type": ({"payload_type": "other"}, VerificationError),
    "algorithm to a stronger": ({"algorithm": "ML-DSA-87"}, AlgorithmMismatchError),
    "algorithm to none": ({"algorithm": "none"}, AlgorithmMismatchError),
    "signature to nothing": ({"signature": b""}, VerificationError),
    "signature to zeros": ({"signature": bytes(2420)}, VerificationError),
    "signature cut by a byte": ({"signature": bytes(2419)}, VerificationError),
    "payload to nothing": ({"payload": b""}, VerificationError),
    "payload to clear text": ({"payload": b"clear"}, VerificationError),
}
SWAPPED_FIELDS = ("message_id", "signature", "payload")

TABLE: dict[str, tuple[Forge, type[RejectedError]]] = {
    **{f"alone: {n}": (alone(**c), error) for n, (c, error) in CHANGED_FIELDS.items()},
    **{f"in a batch: {n}": (in_batch(**c), error) for n, (c, error) in CHANGED_FIELDS.items()},
    **{
        f"{'in a batch' if batch else 'alone'}: {name} of another good message": (
            from_another(name, batch=batch),
            VerificationError,
        )
        for name in SWAPPED_FIELDS
        for batch in (False, True)
    },
    # bytes
    "no bytes": (lambda _: b"", MalformedMessageError),
    "the tag alone": (raw(lambda b: b[:2]), MalformedMessageError),
    "another tag": (raw(lambda b: b"Q1" + b[2:]), MalformedMessageError),
    "no tag, as the prototype": (untagged, MalformedMessageError),
    "cut by a byte": (raw(lambda b: b[:-1]), MalformedMessageError),
    "cut in half": (raw(lambda b: b[: len(b) // 2]), MalformedMessageError),
    "a byte more": (raw(lambda b: b + b"\x00"), MalformedMessageError),
    "twice": (raw(lambda b: b + b), MalformedMessageError),
    "a batch's message cut by a byte": (raw_of_batch(lambda b: b[:-1]), MalformedMessageError),
    "more than 64 KiB": (raw(lambda b: b + bytes(1 << 16)), OversizedMessageError),
    "first ciphertext byte flipped": (
        lambda good: signed_message.encode(
            altered(good.alone, payload=flipped(good.alone.payload, 72))
        ),
        VerificationError,
    ),
    "salt flipped": (
        lambda good: signed_message.encode(
            altered(good.alone, payload=flipped(good.alone.payload, 8))
        ),
        VerificationError,
    ),
    "payload a byte longer": (
        lambda good: signed_message.encode(
            altered(good.alone, payload=good.alone.payload + b"\x00")
        ),
        VerificationError,
    ),
    # signed, but by the wrong one
    "signed by a consumer in the producer's name": (
        signed_by(AUTHCONTROLLER),
        VerificationError,
    ),
    "signed by a stranger in the producer's name": (signed_by(WATCHER), VerificationError),
    "signed by a consumer in its own name": (
        signed_by(AUTHCONTROLLER, signer=AUTHCONTROLLER),
        ProducerNotAllowedError,
    ),
    "signed for another topic the signer may read": (
        signed_by(GATEKEEPER, topic=RESPONDER, encrypt_key_id=topic_key_id(RESPONDER, EPOCH)),
        TopicMismatchError,
    ),
    "signed with the key of another epoch": (
        signed_by(GATEKEEPER, Epoch(EPOCH.number - 1)),
        VerificationError,
    ),
    # signed by the right one, and still wrong
    "made in the future": (signed_by(GATEKEEPER, sent_at=NOW + SKEW + INSTANT), FutureMessageError),
    "made before its key": (
        signed_by(GATEKEEPER, sent_at=DEMO.keys.starts(EPOCH) - SKEW - INSTANT),
        StaleMessageError,
    ),
    "under keys never handed out": (
        signed_by(GATEKEEPER, LONG_AGO, **epochs(LONG_AGO)),
        UnknownKeyError,
    ),
    "downgraded to a weaker algorithm": (
        signed_by(GATEKEEPER, algorithm="ML-DSA-65"),
        AlgorithmMismatchError,
    ),
    "not encrypted": (
        lambda good: signed(altered(good.alone, payload=b"clear"), GATEKEEPER, EPOCH, seal=False),
        MalformedMessageError,
    ),
    "encrypted for another message": (
        lambda good: signed(altered(good.alone, message_id="x"), GATEKEEPER, EPOCH, seal=False),
        VerificationError,
    ),
    "encrypted under another topic key": (
        lambda good: signed(
            altered(
                good.alone,
                payload=encrypt(
                    header_aad(good.alone),
                    b"x",
                    KEYS.topic_key(RESPONDER, EPOCH),
                    entropy=seeded_entropy(),
                ),
            ),
            GATEKEEPER,
            EPOCH,
            seal=False,
        ),
        VerificationError,
    ),
    "the wrong kind of framing": (
        lambda good: signed(
            altered(good.alone, payload=flipped(good.alone.payload, 3)),
            GATEKEEPER,
            EPOCH,
            seal=False,
        ),
        MalformedMessageError,
    ),
    # batches
    "proof stripped": (in_batch(batch_proof=None), VerificationError),
    "proof given to a message signed alone": (
        lambda good: signed_message.encode(
            altered(good.alone, batch_proof=proof_of(good.batch[2]))
        ),
        VerificationError,
    ),
    "proof of another batch": (from_another("batch_proof", batch=True), VerificationError),
    "proof of a sibling": (
        lambda good: signed_message.encode(
            altered(good.batch[2], batch_proof=proof_of(good.batch[3]))
        ),
        VerificationError,
    ),
    "signature of another batch": (from_another("signature", batch=True), VerificationError),
    "signature of a message signed alone": (
        lambda good: signed_message.encode(altered(good.batch[2], signature=good.alone.signature)),
        VerificationError,
    ),
    "moved to the next index": (proof(index=3), VerificationError),
    "moved to the last index": (proof(index=6), VerificationError),
    "batch said to be larger": (proof(size=8), VerificationError),
    "batch said to be smaller": (proof(size=6), VerificationError),
    "another blind": (proof(blind=bytes(32)), VerificationError),
    "path to zeros": (proof(path=bytes(96)), VerificationError),
    "path cut": (proof(path=bytes(64)), VerificationError),
    "path longer": (proof(path=bytes(128)), VerificationError),
    "inner node as a leaf": (inner_node_as_leaf, VerificationError),
    "a batch of the watcher's": (batch_signed_by(WATCHER), VerificationError),
    "a batch signed as if it were a message": (
        batch_signed_by(GATEKEEPER, contexts.SIGNED_MESSAGE),
        VerificationError,
    ),
    "proof of no bytes": (with_raw_proof(b""), MalformedMessageError),
    "proof of a batch of one": (with_raw_proof(b"\x01\x00" + bytes(61)), MalformedMessageError),
    "index beyond the batch": (
        lambda good: signed_message.encode(
            altered(good.batch[2], batch_proof=replace(proof_of(good.batch[2]), index=7))
        ),
        MalformedMessageError,
    ),
}


def test_the_table_is_long_enough_and_every_code_is_one_errors_alone() -> None:
    errors = {error for _, error in TABLE.values()}

    assert len(TABLE) >= 60
    assert len({error.code for error in errors}) == len(errors)


@pytest.mark.parametrize(("forge", "error"), TABLE.values(), ids=TABLE)
async def test_it_is_refused(forge: Forge, error: type[RejectedError]) -> None:
    good = await good_messages()
    channel = taker()
    await channel.open(signed_message.encode(good.alone), AUTH_REQUEST)
    forged = forge(good)

    with pytest.raises(RejectedError) as refusal:
        await channel.open(forged, AUTH_REQUEST)

    assert type(refusal.value) is error
    for message in (good.alone_too, *good.batch, *good.other_batch):
        await channel.open(signed_message.encode(message), AUTH_REQUEST)


def taker(service: ServiceName = AUTHCONTROLLER, *, periods_later: int = 0) -> SecureChannel:
    later = NOW + periods_later * DEMO.keys.period
    return make_channel(service, LoopClock(later), ring=KEYS.ring(service, now=NOW))


@pytest.mark.parametrize("kind", ["alone", "in a batch"])
async def test_a_message_of_the_fifth_epoch_is_refused_and_of_the_fourth_is_not(kind: str) -> None:
    good = await good_messages()
    raw = signed_message.encode(good.alone if kind == "alone" else good.batch[0])

    assert (await taker(periods_later=3).open(raw, AUTH_REQUEST)).payload
    with pytest.raises(KeyExpiredError):
        await taker(periods_later=4).open(raw, AUTH_REQUEST)


@pytest.mark.parametrize("kind", ["alone", "in a batch"])
async def test_who_may_not_consume_opens_nothing(kind: str) -> None:
    good = await good_messages()
    raw = signed_message.encode(good.alone if kind == "alone" else good.batch[0])
    ring = KEYS.ring(AUTHCONTROLLER)
    permission = replace(ring.permissions[AUTH_REQUEST], consume=False)
    spy = make_channel(
        AUTHCONTROLLER,
        LoopClock(NOW),
        ring=replace(ring, permissions={AUTH_REQUEST: permission}),
    )

    with pytest.raises(PermissionDeniedError):
        await spy.open(raw, AUTH_REQUEST)


async def test_the_same_message_on_another_handler_is_refused() -> None:
    """The topic is the handler's own, not what the message or its delivery says."""
    good = await good_messages()
    with pytest.raises(TopicMismatchError):
        await taker().open(signed_message.encode(good.alone), RESPONDER)


async def test_a_key_accepts_one_algorithm_only() -> None:
    """The signature of the same seed under another parameter set is no way around the key."""
    good = await good_messages()
    seed = KEYS.signing_key(GATEKEEPER, EPOCH).seed
    header = header_aad(good.alone)
    signature = Signer.from_seed(Algorithm.ML_DSA_65, seed).sign(
        signing_input(header, good.alone.payload), context=contexts.SIGNED_MESSAGE
    )

    with pytest.raises(VerificationError):
        await taker().open(
            signed_message.encode(altered(good.alone, signature=signature)), AUTH_REQUEST
        )
