"""Single keys as records: what a bundle nests and what the store of keys holds.

Encoded signing and topic keys are secret: they are only ever sealed or wrapped.
"""

from datetime import datetime
from typing import Any, Final

from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import ServiceName
from svc_core.domain.keys import SigningKey, TopicKey, VerifyKey
from svc_core.domain.secrets import SecretBytes
from svc_core.wire.fields import (
    read_instant,
    read_service,
    read_subject,
    read_token,
    require,
    write_instant,
)
from svc_core.wire.records import RecordCodec

LIMIT: Final = 8 * 1024
"""Most bytes of one encoded key."""
SECRET_SIZE: Final = 32
TOPIC_ALGORITHM: Final = "AES-256"
PUBLIC_SIZES: Final = {"ML-DSA-44": 1312, "ML-DSA-65": 1952, "ML-DSA-87": 2592}
"""Bytes of a public key by algorithm; no other algorithm is accepted."""

_KEY: Final = RecordCodec.of("dilithium_key", tag=b"K1", limit=LIMIT)
_TOPIC_KEY: Final = RecordCodec.of("topic_key", tag=b"G1", limit=LIMIT)


def encode_signing_key(key: SigningKey) -> bytes:
    """Return the bytes of ``key``, its seed included: secret."""
    return _encode_key(key, public=b"", private=key.seed.reveal())


def decode_signing_key(raw: bytes) -> SigningKey:
    """Return the signing key in ``raw``, or raise `MalformedMessageError`."""
    record = _KEY.decode(raw)
    seed = record["privateKeyBytes"]
    require(not record["publicKeyBytes"], "a signing key carries its seed only")
    require(seed is not None and len(seed) == SECRET_SIZE, "a seed has 32 bytes")
    service, epoch, algorithm, not_before, not_after = _key_fields(record)
    return SigningKey(service, epoch, algorithm, SecretBytes(seed), not_before, not_after)


def encode_verify_key(key: VerifyKey) -> bytes:
    """Return the bytes of ``key``."""
    return _encode_key(key, public=key.public, private=None)


def decode_verify_key(raw: bytes) -> VerifyKey:
    """Return the verify key in ``raw``, or raise `MalformedMessageError`."""
    record = _KEY.decode(raw)
    public = record["publicKeyBytes"]
    require(record["privateKeyBytes"] is None, "a verify key has no private half")
    service, epoch, algorithm, not_before, not_after = _key_fields(record)
    require(len(public) == PUBLIC_SIZES[algorithm], "a public key has the wrong size")
    return VerifyKey(service, epoch, algorithm, public, not_before, not_after)


def encode_topic_key(key: TopicKey) -> bytes:
    """Return the bytes of ``key``: secret."""
    return _TOPIC_KEY.encode(
        {
            "keyId": key.key_id,
            "topicName": key.topic,
            "epochNumber": key.epoch.number,
            "algorithm": TOPIC_ALGORITHM,
            "keyData": key.secret.reveal(),
            "createdTime": write_instant(key.not_before),
            "expiryTime": write_instant(key.not_after),
            "role": None,
        }
    )


def decode_topic_key(raw: bytes) -> TopicKey:
    """Return the topic key in ``raw``, or raise `MalformedMessageError`."""
    record = _TOPIC_KEY.decode(raw)
    require(record["algorithm"] == TOPIC_ALGORITHM, "a topic key is for AES-256")
    require(record["role"] is None, "topic keys have no role")
    require(len(record["keyData"]) == SECRET_SIZE, "a topic key has 32 bytes")
    require(record["epochNumber"] >= 0, "an epoch is negative")
    return TopicKey(
        key_id=read_token(record["keyId"], "topic key id"),
        topic=read_subject(record["topicName"]),
        epoch=Epoch(record["epochNumber"]),
        secret=SecretBytes(record["keyData"]),
        not_before=read_instant(record["createdTime"]),
        not_after=read_instant(record["expiryTime"]),
    )


def _encode_key(key: SigningKey | VerifyKey, *, public: bytes, private: bytes | None) -> bytes:
    return _KEY.encode(
        {
            "keyId": str(key.epoch),
            "serviceId": key.service,
            "publicKeyBytes": public,
            "privateKeyBytes": private,
            "epochNumber": key.epoch.number,
            "createTime": write_instant(key.not_before),
            "expiryTime": write_instant(key.not_after),
            "metadataKeyId": None,
            "metadataSignature": None,
            "algorithm": key.algorithm,
        }
    )


def _key_fields(
    record: dict[str, Any],
) -> tuple[ServiceName, Epoch, str, datetime, datetime]:
    require(record["epochNumber"] >= 0, "an epoch is negative")
    epoch = Epoch(record["epochNumber"])
    require(record["keyId"] == str(epoch), "a signing key's id is its epoch")
    require(record["metadataKeyId"] is None, "keys are not signed one by one")
    require(record["metadataSignature"] is None, "keys are not signed one by one")
    require(record["algorithm"] in PUBLIC_SIZES, "unknown signature algorithm")
    return (
        read_service(record["serviceId"]),
        epoch,
        record["algorithm"],
        read_instant(record["createTime"]),
        read_instant(record["expiryTime"]),
    )
