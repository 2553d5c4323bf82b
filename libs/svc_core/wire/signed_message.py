"""`SignedMessage`: the envelope of every message on a data topic.

The prototype's twelve fields in their order, then ours. The encryption is bound to `header_aad`;
the signature covers `signing_input`, or for a batch `root_input`, whose root covers header and
payload of each message (ADR-0014). All are canonical encodings, so none depends on Avro.
"""

import struct
from datetime import datetime
from functools import lru_cache
from typing import Final

import msgspec

from svc_core.domain.batch_proof import BatchProof
from svc_core.domain.identity import ServiceName, Subject
from svc_core.wire import batch_proof as batch_proof_format
from svc_core.wire.fields import (
    read_instant,
    read_service,
    read_subject,
    read_token,
    require,
    write_instant,
)
from svc_core.wire.records import RecordCodec, canonical_fields

LIMIT: Final = 64 * 1024
"""Most bytes of one encoded message."""

_CODEC: Final = RecordCodec.of("signed_message", tag=b"M1", limit=LIMIT)
_INTEGER: Final = struct.Struct(">cIq")
_LONGEST_TEXT: Final = 256
# Made once: they are needed eight times for every message.
_TEXT_HEADS: Final = tuple(b"s" + struct.pack(">I", size) for size in range(_LONGEST_TEXT + 1))


class SignedMessage(msgspec.Struct, frozen=True):
    """One message as it travels; nothing in it is checked beyond its form.

    A struct and not a dataclass: two are made for every message, at an eighth of the cost.
    """

    message_id: str
    """1 to 200 printable ASCII characters."""
    message_type: str
    ca_epoch: int
    key_epoch: int
    signer: ServiceName
    signer_key_id: int
    """The key epoch of the signing key; always equal to ``key_epoch``."""
    sent_at: datetime
    signature: bytes
    topic: Subject
    encrypt_key_id: str
    payload_type: str
    payload: bytes
    """Framed encryption (`svc_core.wire.framing`)."""
    algorithm: str
    batch_proof: BatchProof | None = None
    """Its place in the batch that was signed; None in a message signed by itself."""

    def __repr__(self) -> str:
        return f"SignedMessage({self.message_id!r} of {self.signer!r} on {self.topic!r})"


def header_aad(message: SignedMessage) -> bytes:
    """Return what the encryption is bound to: every field that says what the message is.

    That is all of them but the payload and the two that prove it, signature and batch proof; the
    bytes are those of `svc_core.wire.records.canonical_fields`.
    """
    return b"".join(
        (
            _text(message.message_id),
            _name(message.message_type),
            _integer(message.ca_epoch),
            _integer(message.key_epoch),
            _name(message.signer),
            _integer(message.signer_key_id),
            _text(write_instant(message.sent_at)),
            _name(message.topic),
            _name(message.encrypt_key_id),
            _name(message.payload_type),
            _name(message.algorithm),
        )
    )


def signing_input(header: bytes, payload: bytes) -> bytes:
    """Return what the signature of a message signed by itself covers.

    Args:
        header: of the message, from `header_aad`.
        payload: framed ciphertext.
    """
    return header + canonical_fields(payload, None)


def root_input(message: SignedMessage, size: int, root: bytes) -> bytes:
    """Return what the signature of a batch covers, as any one ``message`` of it says it.

    Args:
        message: names the signer, its key and the algorithm.
        size: messages in the batch.
        root: of the tree over their leaves, 32 bytes.
    """
    return _root_head(
        message.signer, message.signer_key_id, message.algorithm, size
    ) + canonical_fields(root)


_read_name: Final = lru_cache(maxsize=1024)(read_token)


# The same for every message of a batch, and for every batch of that size under one key.
@lru_cache(maxsize=1024)
def _root_head(signer: str, key_id: int, algorithm: str, size: int) -> bytes:
    return canonical_fields(signer, key_id, algorithm, size)


# Epochs and names recur from message to message, unlike ids and times.
@lru_cache(maxsize=64)
def _integer(value: int) -> bytes:
    return _INTEGER.pack(b"i", 8, value)


@lru_cache(maxsize=1024)
def _name(value: str) -> bytes:
    return _text(value)


def _text(value: str) -> bytes:
    encoded = value.encode()
    if len(encoded) > _LONGEST_TEXT:
        raise ValueError(f"a header field of {len(encoded)} bytes")
    return _TEXT_HEADS[len(encoded)] + encoded


def encode(message: SignedMessage) -> bytes:
    """Return the bytes of ``message``.

    Raises:
        ValueError: they would be more than 64 KiB.
    """
    return assemble(message, message.payload, message.signature, message.batch_proof)


def assemble(
    header: SignedMessage, payload: bytes, signature: bytes, proof: BatchProof | None
) -> bytes:
    """Return the bytes of the message that has ``header``'s other fields and these.

    Raises:
        ValueError: they would be more than 64 KiB.
    """
    return _CODEC.encode(
        {
            "messageId": header.message_id,
            "messageType": header.message_type,
            "caEpoch": header.ca_epoch,
            "keyEpoch": header.key_epoch,
            "signerServiceId": header.signer,
            "signerKeyId": header.signer_key_id,
            "timestamp": write_instant(header.sent_at),
            "signature": signature,
            "topicName": header.topic,
            "encryptKeyId": header.encrypt_key_id,
            "payloadType": header.payload_type,
            "payload": payload,
            "algorithm": header.algorithm,
            "batchProof": None if proof is None else batch_proof_format.encode(proof),
        }
    )


def decode(raw: bytes) -> SignedMessage:
    """Return the message in ``raw``.

    Raises:
        OversizedMessageError: more than 64 KiB.
        MalformedMessageError: no message, or a field out of its form.
    """
    record = _CODEC.decode(raw)
    require(record["keyEpoch"] >= 0 and record["caEpoch"] >= 0, "an epoch is negative")
    require(record["signerKeyId"] == record["keyEpoch"], "signing key and key epoch differ")
    return SignedMessage(
        message_id=read_token(record["messageId"], "message id"),
        message_type=_read_name(record["messageType"], "message type"),
        ca_epoch=record["caEpoch"],
        key_epoch=record["keyEpoch"],
        signer=read_service(record["signerServiceId"]),
        signer_key_id=record["signerKeyId"],
        sent_at=read_instant(record["timestamp"]),
        signature=record["signature"],
        topic=read_subject(record["topicName"]),
        encrypt_key_id=_read_name(record["encryptKeyId"], "topic key id"),
        payload_type=_read_name(record["payloadType"], "payload type"),
        payload=record["payload"],
        algorithm=_read_name(record["algorithm"], "algorithm"),
        batch_proof=(
            None
            if record["batchProof"] is None
            else batch_proof_format.decode(record["batchProof"])
        ),
    )
