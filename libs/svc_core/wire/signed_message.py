"""`SignedMessage`: the envelope of every message on a data topic.

The prototype's twelve fields in their order, then ours. The signature covers `signing_input`, the
encryption is bound to `header_aad`; both are canonical encodings, so neither depends on Avro.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import fastavro

from svc_core.domain.identity import ServiceName, Subject
from svc_core.wire.fields import (
    read_instant,
    read_service,
    read_subject,
    read_token,
    require,
    write_instant,
)
from svc_core.wire.records import RecordCodec, canonical_fields, schema_text

LIMIT: Final = 64 * 1024
"""Most bytes of one encoded message."""
PROTOTYPE_FIELDS: Final = 12

_CODEC: Final = RecordCodec.of("signed_message", tag=b"M1", limit=LIMIT)


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """One message as it travels; nothing in it is checked beyond its form."""

    message_id: str
    """1 to 200 printable ASCII characters."""
    message_type: str
    ca_epoch: int
    key_epoch: int
    signer: ServiceName
    signer_key_id: int
    """The key epoch of the signing key; always equal to ``key_epoch``."""
    sent_at: datetime
    signature: bytes = field(repr=False)
    topic: Subject
    encrypt_key_id: str
    payload_type: str
    payload: bytes = field(repr=False)
    """Framed encryption (`svc_core.wire.framing`)."""
    algorithm: str
    batch_proof: bytes | None = None
    """Reserved for batch signatures; None in a message signed by itself."""


def header_aad(message: SignedMessage) -> bytes:
    """Return what the encryption is bound to: every field that says what the message is.

    That is all of them but the payload and the two that prove it, signature and batch proof.
    """
    return canonical_fields(
        message.message_id,
        message.message_type,
        message.ca_epoch,
        message.key_epoch,
        message.signer,
        message.signer_key_id,
        write_instant(message.sent_at),
        message.topic,
        message.encrypt_key_id,
        message.payload_type,
        message.algorithm,
    )


def signing_input(message: SignedMessage) -> bytes:
    """Return what the signature covers: every field but the signature, ciphertext included."""
    return header_aad(message) + canonical_fields(message.payload, message.batch_proof)


def encode(message: SignedMessage) -> bytes:
    """Return the bytes of ``message``.

    Raises:
        ValueError: they would be more than 64 KiB.
    """
    return _CODEC.encode(
        {
            "messageId": message.message_id,
            "messageType": message.message_type,
            "caEpoch": message.ca_epoch,
            "keyEpoch": message.key_epoch,
            "signerServiceId": message.signer,
            "signerKeyId": message.signer_key_id,
            "timestamp": write_instant(message.sent_at),
            "signature": message.signature,
            "topicName": message.topic,
            "encryptKeyId": message.encrypt_key_id,
            "payloadType": message.payload_type,
            "payload": message.payload,
            "algorithm": message.algorithm,
            "batchProof": message.batch_proof,
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
        message_type=read_token(record["messageType"], "message type"),
        ca_epoch=record["caEpoch"],
        key_epoch=record["keyEpoch"],
        signer=read_service(record["signerServiceId"]),
        signer_key_id=record["signerKeyId"],
        sent_at=read_instant(record["timestamp"]),
        signature=record["signature"],
        topic=read_subject(record["topicName"]),
        encrypt_key_id=read_token(record["encryptKeyId"], "topic key id"),
        payload_type=read_token(record["payloadType"], "payload type"),
        payload=record["payload"],
        algorithm=read_token(record["algorithm"], "algorithm"),
        batch_proof=record["batchProof"],
    )


def decode_prototype(raw: bytes) -> dict[str, Any]:
    """Return the fields of an untagged record of the prototype, for inspection only.

    Nothing in the result may be acted on: the prototype's signature leaves the header uncovered.

    Raises:
        OversizedMessageError: more than 64 KiB.
        MalformedMessageError: no such record.
    """
    return _PROTOTYPE.decode(raw)


def _prototype_codec() -> RecordCodec:
    schema = schema_text("signed_message")
    fields = schema["fields"][:PROTOTYPE_FIELDS]
    parsed = fastavro.parse_schema({**schema, "fields": fields}, _write_hint=False)
    return RecordCodec("prototype message", b"", LIMIT, parsed)


_PROTOTYPE: Final = _prototype_codec()
