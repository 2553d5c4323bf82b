"""The wire vectors: our bytes are these, and code that shares nothing with ours agrees."""

import json
from base64 import b64decode
from typing import Any

import pytest

from svc_core.wire import prototype
from tests.vectors import avro_by_hand, open_by_hand, prototype_shapes, vector_files
from tests.vectors.open_by_hand import canonical, labelled
from tests.vectors.prototype_values import PROTOTYPE
from tests.vectors.vector_files import Vector
from tests.vectors.wire_codecs import CODECS, RECORDS, plain
from tests.vectors.wire_values import FIXED

VECTORS = {name: vector_files.load(name) for name in vector_files.names()}
OURS = [v for v in VECTORS.values() if not v.of_prototype]
PROTOTYPES = [v for v in VECTORS.values() if v.of_prototype]
MESSAGES = ["signed_message_65", "signed_message_87"]
BATCHED = ["signed_batch_1_of_5", "signed_batch_4_of_5", "signed_batch_63_of_64"]


def name(vector: Vector) -> str:
    return vector.name


@pytest.mark.parametrize("vector", OURS, ids=name)
def test_a_vector_decodes_and_encodes_to_itself(vector: Vector) -> None:
    codec = CODECS[vector.codec]

    assert codec.encode(codec.decode(vector.raw)) == vector.raw


@pytest.mark.parametrize("name", FIXED)
def test_the_value_behind_a_vector_has_its_bytes(name: str) -> None:
    codec, value = FIXED[name]

    assert CODECS[codec].encode(value) == VECTORS[name].raw
    assert plain(CODECS[codec].decode(VECTORS[name].raw)) == plain(value)


@pytest.mark.parametrize("vector", [v for v in OURS if v.codec in RECORDS], ids=name)
def test_a_writer_by_hand_makes_the_same_bytes_of_the_fields(vector: Vector) -> None:
    codec = RECORDS[vector.codec]

    written = codec.tag + avro_by_hand.write(codec.by_hand(), vector.fields)

    assert written == vector.raw


@pytest.mark.parametrize("vector", PROTOTYPES, ids=name)
def test_a_record_of_the_prototype_is_inspected(vector: Vector) -> None:
    kind = prototype.Kind(vector.codec)

    inspected = prototype.decode(vector.raw, kind=kind)

    assert inspected.kind is kind
    assert plain(inspected.fields) == plain(vector.fields) == plain(PROTOTYPE[kind])


@pytest.mark.parametrize("vector", PROTOTYPES, ids=name)
def test_a_record_of_the_prototype_is_written_by_hand(vector: Vector) -> None:
    shape = prototype_shapes.schema(vector.codec)

    assert avro_by_hand.write(shape, vector.fields, ordered=False) == vector.raw


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_opened_by_hand(name: str) -> None:
    fields, opening = VECTORS[name].fields, VECTORS[name].opening
    header = open_by_hand.message_header(fields)

    covered = header + canonical(fields["payload"], fields["batchProof"])
    open_by_hand.verify(
        opening["public_key"], covered, fields["signature"], context=b"svc_core/signed-message/v1"
    )
    info = labelled("svc_core/seal-message/v1", fields["topicName"], fields["encryptKeyId"])
    plaintext = open_by_hand.unseal(
        opening["topic_key"], fields["payload"], info=info, header=header
    )

    assert plaintext == opening["plaintext"] == VECTORS["authentication_request"].raw


@pytest.mark.parametrize("name", BATCHED)
def test_a_message_of_a_batch_is_opened_by_hand(name: str) -> None:
    fields, opening = VECTORS[name].fields, VECTORS[name].opening

    open_by_hand.verify(
        opening["public_key"],
        open_by_hand.batch_claim(fields),
        fields["signature"],
        context=b"svc_core/batch-root/v1",
    )
    plaintext = open_by_hand.unseal(
        opening["topic_key"],
        fields["payload"],
        info=labelled("svc_core/seal-message/v1", fields["topicName"], fields["encryptKeyId"]),
        header=open_by_hand.message_header(fields),
    )

    assert plaintext == opening["plaintext"] == VECTORS["authentication_request"].raw


@pytest.mark.parametrize("at", [1, 2, 34], ids=["index", "blind", "path"])
def test_by_hand_too_a_changed_proof_is_refused(at: int) -> None:
    fields, opening = VECTORS["signed_batch_1_of_5"].fields, VECTORS["signed_batch_1_of_5"].opening
    proof = bytearray(fields["batchProof"])
    proof[at] ^= 1

    with pytest.raises(ValueError, match=r"(?i)verif|signature"):
        open_by_hand.verify(
            opening["public_key"],
            open_by_hand.batch_claim({**fields, "batchProof": bytes(proof)}),
            fields["signature"],
            context=b"svc_core/batch-root/v1",
        )


@pytest.mark.parametrize("place", ["header", "payload"])
def test_by_hand_too_a_changed_message_is_refused(place: str) -> None:
    fields, opening = VECTORS["signed_message_65"].fields, VECTORS["signed_message_65"].opening
    header = open_by_hand.message_header(
        {**fields, "messageId": "x"} if place == "header" else fields
    )
    payload = fields["payload"] if place == "header" else fields["payload"][:-1] + b"x"

    with pytest.raises(ValueError, match=r"(?i)verif|signature"):
        open_by_hand.verify(
            opening["public_key"],
            header + canonical(payload, None),
            fields["signature"],
            context=b"svc_core/signed-message/v1",
        )


def test_a_request_is_verified_by_hand() -> None:
    vector = VECTORS["bundle_request"]
    fields = {**vector.fields}
    signature = fields.pop("signature")

    open_by_hand.verify(
        vector.opening["public_key"],
        canonical(*fields.values()),
        signature,
        context=b"svc_core/bundle-request/v1",
    )

    assert list(fields) == ["sourceSvcId", "instance", "publicKey", "nonce", "createTime"]


def test_a_reply_is_opened_by_hand() -> None:
    fields, opening = VECTORS["bundle_reply"].fields, VECTORS["bundle_reply"].opening
    names = ["targetSvcId", "instance", "nonce", "version", "encapsulation", "signerId"]
    header = canonical(*(fields[name] for name in names))

    open_by_hand.verify(
        opening["public_key"],
        header + canonical(fields["additionalData"]),
        fields["signature"],
        context=b"svc_core/bundle-reply/v1",
    )
    plaintext = open_by_hand.unseal(
        open_by_hand.decapsulate(opening["kem_seed"], fields["encapsulation"]),
        fields["additionalData"],
        info=labelled("svc_core/seal-bundle/v1", "gatekeeper", "gatekeeper-1"),
        header=header,
    )

    assert plaintext == opening["plaintext"] == VECTORS["service_bundle"].raw


def test_a_bundle_at_rest_is_opened_by_hand() -> None:
    fields, opening = VECTORS["stored_bundle"].fields, VECTORS["stored_bundle"].opening
    names = ["targetSvcId", "instance", "version", "expiresAt", "recipientKey", "encapsulation"]
    header = canonical(*(fields[name] for name in [*names, "signerId"]))

    open_by_hand.verify(
        opening["public_key"],
        header + canonical(fields["additionalData"]),
        fields["signature"],
        context=b"svc_core/stored-bundle/v1",
    )
    plaintext = open_by_hand.unseal(
        open_by_hand.decapsulate(opening["kem_seed"], fields["encapsulation"]),
        fields["additionalData"],
        info=labelled("svc_core/seal-stored-bundle/v1", "gatekeeper", "gatekeeper-1"),
        header=header,
    )

    assert plaintext == opening["plaintext"] == VECTORS["service_bundle"].raw


@pytest.mark.parametrize(
    ("name", "body", "context"),
    [
        ("signed_desired", "desired_state", b"svc_core/desired-state/v1"),
        ("signed_status", "status", b"svc_core/instance-status/v1"),
    ],
)
def test_a_document_is_verified_by_hand(name: str, body: str, context: bytes) -> None:
    fields, opening = VECTORS[name].fields, VECTORS[name].opening

    open_by_hand.verify(
        opening["public_key"],
        canonical(fields["signer"], fields["body"]),
        fields["signature"],
        context=context,
    )

    assert fields["body"] == VECTORS[body].raw == canonical_json(json.loads(fields["body"]))


def test_a_list_of_identities_is_verified_by_hand() -> None:
    vector = VECTORS["identities"]
    listed = json.loads(vector.raw)

    open_by_hand.verify(
        vector.opening["public_key"],
        canonical_json(listed["identities"]),
        b64decode(listed["signature"]),
        context=b"svc_core/identity-list/v1",
    )

    assert [identity["id"] for identity in listed["identities"]] == ["metadata-1"]


def canonical_json(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
