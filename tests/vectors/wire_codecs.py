"""Every encoder and decoder of the wire formats in one table, for tests, vectors and fuzzing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import msgspec

from svc_core.domain.secrets import SecretBytes
from svc_core.wire import (
    audit,
    auth,
    batch_proof,
    bundle_exchange,
    bundle_notice,
    dead_letter,
    desired,
    documents,
    framing,
    identities,
    instance_kem,
    key_records,
    operator_command,
    replay_mark,
    service_bundle,
    signed_message,
    status,
    stored_bundle,
)
from svc_core.wire.records import schema_text

STATUS_SIGNER = "gatekeeper/gatekeeper-1"


@dataclass(frozen=True)
class WireCodec:
    """One encoder and its decoder."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    limit: int | None = None
    """Most bytes; None for what travels inside of something that has a limit."""
    tag: bytes = b""
    schema: str = ""
    """Name of its file without ``.avsc``; empty for what is no Avro record."""

    def by_hand(self) -> dict[str, Any]:
        """Return the schema as JSON, for a reader of one's own."""
        return schema_text(self.schema)


RECORDS: Mapping[str, WireCodec] = {
    "signed message": WireCodec(
        signed_message.encode, signed_message.decode, signed_message.LIMIT, b"M1", "signed_message"
    ),
    "bundle request": WireCodec(
        bundle_exchange.encode_request,
        bundle_exchange.decode_request,
        bundle_exchange.REQUEST_LIMIT,
        b"Q1",
        "bundle_request",
    ),
    "bundle reply": WireCodec(
        bundle_exchange.encode_reply,
        bundle_exchange.decode_reply,
        bundle_exchange.REPLY_LIMIT,
        b"A1",
        "bundle_reply",
    ),
    "stored bundle": WireCodec(
        stored_bundle.encode, stored_bundle.decode, stored_bundle.LIMIT, b"C1", "stored_bundle"
    ),
    "service bundle": WireCodec(
        service_bundle.encode, service_bundle.decode, service_bundle.LIMIT, b"S1", "service_bundle"
    ),
    "signing key": WireCodec(
        key_records.encode_signing_key,
        key_records.decode_signing_key,
        key_records.LIMIT,
        b"K1",
        "dilithium_key",
    ),
    "verify key": WireCodec(
        key_records.encode_verify_key,
        key_records.decode_verify_key,
        key_records.LIMIT,
        b"K1",
        "dilithium_key",
    ),
    "topic key": WireCodec(
        key_records.encode_topic_key,
        key_records.decode_topic_key,
        key_records.LIMIT,
        b"G1",
        "topic_key",
    ),
    "signed document": WireCodec(
        documents.encode, documents.decode, documents.LIMIT, b"E1", "signed_document"
    ),
    "authentication request": WireCodec(
        auth.encode_request, auth.decode_request, auth.LIMIT, b"I1", "authentication_request"
    ),
    "authentication response": WireCodec(
        auth.encode_response, auth.decode_response, auth.LIMIT, b"O1", "authentication_response"
    ),
    "dead letter": WireCodec(
        dead_letter.encode, dead_letter.decode, dead_letter.LIMIT, b"Y1", "dead_letter"
    ),
}
"""What is tagged Avro."""

OTHERS: Mapping[str, WireCodec] = {
    "framing": WireCodec(framing.encode, framing.decode),
    "batch proof": WireCodec(batch_proof.encode, batch_proof.decode),
    "desired state": WireCodec(desired.encode, desired.decode),
    "status": WireCodec(status.encode, lambda raw: status.decode(raw, signer=STATUS_SIGNER)),
    "operator command": WireCodec(operator_command.encode, operator_command.decode),
    "instance kem": WireCodec(instance_kem.encode, instance_kem.decode),
    "bundle notice": WireCodec(bundle_notice.encode, bundle_notice.decode),
    "replay mark": WireCodec(replay_mark.encode, replay_mark.decode),
    "audit entry": WireCodec(audit.encode, audit.decode),
}
"""What is not, but has one encoding only too."""

LOOSE: Mapping[str, WireCodec] = {
    "identities": WireCodec(identities.encode, identities.decode, identities.LIMIT),
}
"""What people may lay out as they like."""

CODECS: Mapping[str, WireCodec] = {**RECORDS, **OTHERS, **LOOSE}


def plain(value: Any) -> Any:
    """Return ``value`` as mappings, tuples and primitives, so that it can be compared."""
    if isinstance(value, SecretBytes):
        return value.reveal()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    return value
