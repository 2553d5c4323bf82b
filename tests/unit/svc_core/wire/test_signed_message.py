"""The envelope's layout, what its signature covers, and fields out of their form."""

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from svc_core.domain.subjects import RESPONDER
from svc_core.errors import MalformedMessageError
from svc_core.wire import signed_message
from svc_core.wire.records import canonical_fields, schema_text
from tests.builders import NOW, covered, make_message

PROTOTYPE_FIELDS = [
    "messageId",
    "messageType",
    "caEpoch",
    "keyEpoch",
    "signerServiceId",
    "signerKeyId",
    "timestamp",
    "signature",
    "topicName",
    "encryptKeyId",
    "payloadType",
    "payload",
]
CHANGES: dict[str, Any] = {
    "message_id": "run-1-43",
    "message_type": "authResponse",
    "ca_epoch": 1,
    "key_epoch": 1,
    "signer": "authcontroller",
    "signer_key_id": 1,
    "sent_at": NOW.replace(microsecond=1),
    "topic": RESPONDER,
    "encrypt_key_id": "other",
    "payload_type": "other",
    "payload": b"other",
    "algorithm": "ML-DSA-87",
}


def test_the_prototypes_fields_come_first_and_in_its_order() -> None:
    names = [field["name"] for field in schema_text("signed_message")["fields"]]

    assert names[:12] == PROTOTYPE_FIELDS
    assert names[12:] == ["algorithm", "batchProof"]


@pytest.mark.parametrize("name", CHANGES)
def test_the_signature_covers_every_other_field(name: str) -> None:
    message = make_message()
    changed = replace(message, **{name: CHANGES[name]})

    assert covered(changed) != covered(message)


def test_the_signature_does_not_cover_itself() -> None:
    message = make_message()
    changed = replace(message, signature=b"other")

    assert covered(changed) == covered(message)


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - {"payload"}))
def test_the_encryption_is_bound_to_every_header_field(name: str) -> None:
    message = make_message()
    changed = replace(message, **{name: CHANGES[name]})

    assert signed_message.header_aad(changed) != signed_message.header_aad(message)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"message_id": ""}, "message id", id="no id"),
        pytest.param({"message_id": "a b"}, "message id", id="space in the id"),
        pytest.param({"message_id": "a\tb"}, "message id", id="tab in the id"),
        pytest.param({"message_id": "a\n"}, "message id", id="line end in the id"),
        pytest.param({"message_id": "a" * 201}, "message id", id="long id"),
        pytest.param({"message_type": "é"}, "message type", id="type not ASCII"),
        pytest.param({"signer": "Gatekeeper"}, "service name", id="signer's case"),
        pytest.param({"topic": "auth.*"}, "subject", id="wildcard topic"),
        pytest.param({"key_epoch": 5}, "differ", id="key epoch is not the key's"),
        pytest.param({"ca_epoch": -1}, "negative", id="negative CA epoch"),
        pytest.param({"key_epoch": -1, "signer_key_id": -1}, "negative", id="negative epoch"),
    ],
)
def test_a_field_out_of_its_form_is_an_error(changes: dict[str, Any], reason: str) -> None:
    raw = signed_message.encode(make_message(**changes))

    with pytest.raises(MalformedMessageError, match=reason):
        signed_message.decode(raw)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00:00:00.000000",
        "2026-01-01T00:00:00.000000+00:00",
        "2026-01-01 00:00:00.000000Z",
        "2026-13-01T00:00:00.000000Z",
        "٢٠٢٦-01-01T00:00:00.000000Z",
    ],
)
def test_an_instant_in_another_form_is_an_error(text: str) -> None:
    raw = signed_message.encode(make_message())
    ours = b"2026-01-01T00:00:00.000000Z"
    spoiled = text.encode()
    raw = raw.replace(bytes([2 * len(ours)]) + ours, bytes([2 * len(spoiled)]) + spoiled)

    with pytest.raises(MalformedMessageError, match="instant"):
        signed_message.decode(raw)


def test_text_that_is_not_utf8_is_an_error() -> None:
    raw = signed_message.encode(make_message()).replace(b"run-1-42", b"run-1-\xff2")

    with pytest.raises(MalformedMessageError):
        signed_message.decode(raw)


def test_an_integer_longer_than_it_must_be_is_an_error() -> None:
    raw = signed_message.encode(make_message(message_id="i", ca_epoch=0))
    # Zero as a two-byte varint.
    padded = raw.replace(b"authRequest\x00", b"authRequest\x80\x00", 1)

    assert padded != raw
    with pytest.raises(MalformedMessageError, match="canonical"):
        signed_message.decode(padded)


def test_an_untagged_record_of_the_prototype_is_no_message() -> None:
    schema = schema_text("signed_message")
    values = ["i", "t", 1, 2, "s", 2, "now", b"s", "x", "k", "p", b"c"]
    old = dict(zip(PROTOTYPE_FIELDS, values, strict=True))
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, {**schema, "fields": schema["fields"][:12]}, old)

    with pytest.raises(MalformedMessageError, match="tag"):
        signed_message.decode(stream.getvalue())


canonical_values = st.lists(
    st.none() | st.text(max_size=4) | st.binary(max_size=4) | st.integers(-(2**63), 2**63 - 1),
    max_size=4,
)


@given(one=canonical_values, other=canonical_values)
def test_different_values_have_different_canonical_encodings(
    one: list[str | bytes | int | None], other: list[str | bytes | int | None]
) -> None:
    assert (canonical_fields(*one) == canonical_fields(*other)) == (one == other)
