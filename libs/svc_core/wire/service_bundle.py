"""`ServiceBundle`: the keys of one service as one record with nested records.

The prototype's fields and nesting (maps by epoch, service and topic, with encoded keys inside),
then ours. Key material is raw: a 32-byte seed, a 32-byte AES key. What is encoded is secret and is
only ever sealed. Equal bundles give equal bytes: maps are in the order of their keys, lists sorted.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from svc_core.domain.bundle import ServiceBundle
from svc_core.domain.identity import ServiceName, Subject
from svc_core.domain.keys import KeyRing, SigningKey, TopicKey, TopicPermission, VerifyKey
from svc_core.wire import key_records
from svc_core.wire.fields import (
    read_instant,
    read_service,
    read_subject,
    read_token,
    require,
    write_instant,
)
from svc_core.wire.records import Record, RecordCodec

LIMIT: Final = 4 * 1024 * 1024
"""Most bytes of one encoded bundle: a consumer of 100 producers has 1 MB of public keys."""

_UPDATE_TYPE: Final = "update"
_STATUS: Final = "current"
_VERSION: Final = re.compile(r"0|[1-9][0-9]{0,17}")

_CODEC: Final = RecordCodec.of("service_bundle", tag=b"S1", limit=LIMIT)


def encode(bundle: ServiceBundle) -> bytes:
    """Return the bytes of ``bundle``: secret, to be sealed.

    Raises:
        ValueError: they would be more than 4 MiB.
    """
    ring = bundle.ring
    return _CODEC.encode(
        {
            "serviceId": bundle.service,
            "version": str(bundle.version),
            "keyEpoch": bundle.key_epoch,
            "updateType": _UPDATE_TYPE,
            "createdAt": write_instant(bundle.created_at),
            "status": _STATUS,
            "signingKeys": {
                str(epoch): key_records.encode_signing_key(key)
                for epoch, key in ring.signing.items()
            },
            "verifyKeys": _verify_records(ring),
            "topicKeys": _topic_records(ring),
            "topicPermissions": _permission_records(ring),
            "producers": {topic: sorted(names) for topic, names in ring.producers.items()},
            "profile": bundle.profile,
            "expiresAt": write_instant(bundle.expires_at),
        }
    )


def decode(raw: bytes) -> ServiceBundle:
    """Return the bundle in ``raw``; whom it is for and its age are not checked here.

    Raises:
        OversizedMessageError: more than 4 MiB.
        MalformedMessageError: no bundle, or a key that is not where it says it belongs.
    """
    record = _CODEC.decode(raw)
    service = read_service(record["serviceId"])
    version = record["version"]
    require(_VERSION.fullmatch(version) is not None, "illegal version")
    require((record["updateType"], record["status"]) == (_UPDATE_TYPE, _STATUS), "unknown state")
    require(record["keyEpoch"] >= 0, "an epoch is negative")
    return ServiceBundle(
        service=service,
        version=int(version),
        key_epoch=record["keyEpoch"],
        profile=read_token(record["profile"], "profile"),
        created_at=read_instant(record["createdAt"]),
        expires_at=read_instant(record["expiresAt"]),
        ring=KeyRing.of(
            service,
            signing=_signing_keys(record["signingKeys"], service),
            verify=_verify_keys(record["verifyKeys"]),
            topics=_topic_keys(record["topicKeys"]),
            permissions=_permissions(record["topicPermissions"]),
            producers=_producers(record["producers"]),
        ),
    )


def _verify_records(ring: KeyRing) -> dict[str, dict[str, bytes]]:
    records: dict[str, dict[str, bytes]] = {}
    for (service, epoch), key in ring.verify.items():
        records.setdefault(service, {})[str(epoch)] = key_records.encode_verify_key(key)
    return records


def _topic_records(ring: KeyRing) -> dict[str, dict[str, bytes]]:
    records: dict[str, dict[str, bytes]] = {}
    for (topic, key_id), key in ring.topics.items():
        records.setdefault(topic, {})[key_id] = key_records.encode_topic_key(key)
    return records


def _permission_records(ring: KeyRing) -> dict[str, Record]:
    return {
        topic: {
            "topicName": permission.topic,
            "producePermission": permission.produce,
            "consumePermission": permission.consume,
        }
        for topic, permission in ring.permissions.items()
    }


def _signing_keys(encoded: Mapping[str, bytes], service: ServiceName) -> Iterator[SigningKey]:
    for epoch, raw in encoded.items():
        key = key_records.decode_signing_key(raw)
        require((str(key.epoch), key.service) == (epoch, service), "misplaced signing key")
        yield key


def _verify_keys(encoded: Mapping[str, Mapping[str, bytes]]) -> Iterator[VerifyKey]:
    for service, by_epoch in encoded.items():
        require(bool(by_epoch), "a signer without keys")
        for epoch, raw in by_epoch.items():
            key = key_records.decode_verify_key(raw)
            require((str(key.epoch), key.service) == (epoch, service), "misplaced verify key")
            yield key


def _topic_keys(encoded: Mapping[str, Mapping[str, bytes]]) -> Iterator[TopicKey]:
    for topic, by_id in encoded.items():
        require(bool(by_id), "a topic without keys")
        for key_id, raw in by_id.items():
            key = key_records.decode_topic_key(raw)
            require((key.topic, key.key_id) == (topic, key_id), "misplaced topic key")
            yield key


def _permissions(encoded: Mapping[str, Mapping[str, Any]]) -> Iterator[TopicPermission]:
    for topic, record in encoded.items():
        require(record["topicName"] == topic, "misplaced permission")
        yield TopicPermission(
            read_subject(topic), record["producePermission"], record["consumePermission"]
        )


def _producers(encoded: Mapping[str, list[str]]) -> dict[Subject, frozenset[ServiceName]]:
    producers = {}
    for topic, names in encoded.items():
        require(names == sorted(set(names)), "producers are sorted, each named once")
        producers[read_subject(topic)] = frozenset(read_service(name) for name in names)
    return producers
