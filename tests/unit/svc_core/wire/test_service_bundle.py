"""Bundles keep every key, and a key that is not where it belongs spoils the whole."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from svc_core.domain.bundle import ServiceBundle
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.keys import KeyRing, SigningKey, VerifyKey
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import AUTH_REQUEST, RESPONDER
from svc_core.errors import MalformedMessageError
from svc_core.wire import key_records, service_bundle
from svc_core.wire.records import RecordCodec, schema_text
from tests.builders import KeyAuthority, make_bundle

KEYS = KeyAuthority()
K = TypeVar("K")
V = TypeVar("V")


def decoded(bundle: ServiceBundle) -> ServiceBundle:
    """Send ``bundle`` over the wire."""
    return service_bundle.decode(service_bundle.encode(bundle))


def test_every_field_survives() -> None:
    bundle = make_bundle()

    again = decoded(bundle)

    for name in ("service", "version", "key_epoch", "profile", "created_at", "expires_at"):
        assert getattr(again, name) == getattr(bundle, name)
    assert again.ring.permissions == bundle.ring.permissions
    assert again.ring.producers == bundle.ring.producers
    assert again.ring.verify == bundle.ring.verify
    assert list(again.ring.signing) == list(bundle.ring.signing)
    assert set(again.ring.topics) == set(bundle.ring.topics)


def test_every_secret_survives() -> None:
    ring = make_bundle().ring

    again = decoded(make_bundle()).ring

    for epoch, key in ring.signing.items():
        assert again.signing[epoch].seed.reveal() == key.seed.reveal()
    for name, topic_key in ring.topics.items():
        assert again.topics[name].secret.reveal() == topic_key.secret.reveal()
        assert again.topics[name].not_after == topic_key.not_after


def test_an_empty_ring_survives() -> None:
    empty = KeyRing.of(GATEKEEPER, signing=(), verify=(), topics=(), permissions=(), producers={})

    assert decoded(make_bundle(ring=empty)).ring == empty


def turned_round(items: Mapping[K, V]) -> dict[K, V]:
    """Return ``items`` in the opposite order."""
    return {key: items[key] for key in reversed(list(items))}


def test_equal_bundles_have_equal_bytes_however_they_were_put_together() -> None:
    ring = make_bundle().ring
    turned = replace(
        ring,
        signing=turned_round(ring.signing),
        verify=turned_round(ring.verify),
        topics=turned_round(ring.topics),
        permissions=turned_round(ring.permissions),
        producers=turned_round(ring.producers),
    )

    assert service_bundle.encode(make_bundle(ring=turned)) == service_bundle.encode(make_bundle())


def test_the_prototypes_fields_come_first() -> None:
    names = [field["name"] for field in schema_text("service_bundle")["fields"]]

    assert names[:10] == [
        "serviceId",
        "version",
        "keyEpoch",
        "updateType",
        "createdAt",
        "status",
        "signingKeys",
        "verifyKeys",
        "topicKeys",
        "topicPermissions",
    ]


FIRST_TOPIC_KEY = KEYS.topic_key(AUTH_REQUEST, Epoch(7))
PERMISSION = make_bundle().ring.permissions[AUTH_REQUEST]
MISPLACED: dict[str, tuple[dict[str, Any], str]] = {
    "signing key of another epoch": (
        {"signing": {8: KEYS.signing_key(GATEKEEPER, Epoch(7))}},
        "signing key",
    ),
    "signing key of another service": (
        {"signing": {7: KEYS.signing_key(AUTHCONTROLLER, Epoch(7))}},
        "signing key",
    ),
    "verify key of another service": (
        {"verify": {(GATEKEEPER, 7): KEYS.verify_key(AUTHCONTROLLER, Epoch(7))}},
        "verify key",
    ),
    "topic key of another topic": ({"topics": {(RESPONDER, "k"): FIRST_TOPIC_KEY}}, "topic key"),
    "permission of another topic": ({"permissions": {RESPONDER: PERMISSION}}, "permission"),
}


@pytest.mark.parametrize(("changes", "what"), MISPLACED.values(), ids=MISPLACED)
def test_a_misplaced_key_is_an_error(changes: dict[str, Any], what: str) -> None:
    bundle = make_bundle()
    raw = service_bundle.encode(replace(bundle, ring=replace(bundle.ring, **changes)))

    with pytest.raises(MalformedMessageError, match=f"misplaced {what}"):
        service_bundle.decode(raw)


@pytest.mark.parametrize(
    "changes", [{"version": -1}, {"version": 10**18}, {"key_epoch": -1}, {"profile": ""}]
)
def test_numbers_out_of_range_are_an_error(changes: dict[str, Any]) -> None:
    raw = service_bundle.encode(make_bundle(**changes))

    with pytest.raises(MalformedMessageError):
        service_bundle.decode(raw)


def make_signing_key(**changes: Any) -> SigningKey:
    """Return a signing key with ``changes``."""
    return replace(KEYS.signing_key(GATEKEEPER, Epoch(7)), **changes)


def make_verify_key(**changes: Any) -> VerifyKey:
    """Return a verify key with ``changes``."""
    return replace(KEYS.verify_key(GATEKEEPER, Epoch(7)), **changes)


def test_a_seed_of_the_wrong_size_is_an_error() -> None:
    raw = key_records.encode_signing_key(make_signing_key(seed=SecretBytes(b"short")))

    with pytest.raises(MalformedMessageError, match="32 bytes"):
        key_records.decode_signing_key(raw)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"public": b"short"}, "wrong size"), ({"algorithm": "RSA"}, "unknown signature algorithm")],
)
def test_a_public_key_that_is_none_is_an_error(changes: dict[str, Any], reason: str) -> None:
    raw = key_records.encode_verify_key(make_verify_key(**changes))

    with pytest.raises(MalformedMessageError, match=reason):
        key_records.decode_verify_key(raw)


def test_the_halves_of_a_key_are_not_taken_for_each_other() -> None:
    with pytest.raises(MalformedMessageError, match="seed"):
        key_records.decode_signing_key(key_records.encode_verify_key(make_verify_key()))
    with pytest.raises(MalformedMessageError, match="private half"):
        key_records.decode_verify_key(key_records.encode_signing_key(make_signing_key()))


def test_encoded_sizes_stay_far_below_the_limit() -> None:
    assert len(service_bundle.encode(make_bundle())) < service_bundle.LIMIT / 10


BUNDLE_CODEC = RecordCodec.of("service_bundle", tag=b"S1", limit=service_bundle.LIMIT)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"updateType": "rotate"}, "unknown state", id="another type of update"),
        pytest.param({"status": "legacy"}, "unknown state", id="another status"),
        pytest.param({"verifyKeys": {"watcher": {}}}, "without keys", id="signer without keys"),
        pytest.param({"topicKeys": {"a.b": {}}}, "without keys", id="topic without keys"),
        pytest.param({"producers": {"a.b": ["watcher", "gatekeeper"]}}, "sorted", id="unsorted"),
        pytest.param({"producers": {"a.b": ["watcher", "watcher"]}}, "once", id="named twice"),
    ],
)
def test_what_says_the_same_in_another_way_is_an_error(
    changes: dict[str, Any], reason: str
) -> None:
    record = BUNDLE_CODEC.decode(service_bundle.encode(make_bundle()))

    with pytest.raises(MalformedMessageError, match=reason):
        service_bundle.decode(BUNDLE_CODEC.encode(record | changes))
