"""A bundle at rest: sealed to the key its instance registered, signed, bound to version and end.

Nothing asks for it, so no nonce makes it fresh. What it is bound to instead is signed with it and
sealed into it: the recipient, the key it opens with, its version and when it ends.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.wire import service_bundle
from svc_core.wire.fields import (
    read_instance,
    read_instant,
    read_service,
    read_token,
    require,
    write_instant,
)
from svc_core.wire.records import RecordCodec, canonical_fields

ENCAPSULATION_SIZE: Final = 1568
"""Bytes of an ML-KEM-1024 ciphertext; the registered keys are all of that kind."""
LIMIT: Final = service_bundle.LIMIT + 16 * 1024
"""Most bytes of one record."""

_DIGEST_SIZE: Final = 32
_CODEC: Final = RecordCodec.of("stored_bundle", tag=b"C1", limit=LIMIT)


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle as it lies in the store for one instance."""

    service: ServiceName
    instance: InstanceName
    version: int
    """The bundle's."""
    expires_at: datetime
    """The bundle's."""
    recipient_key: bytes
    """`key_digest` of the ML-KEM key it is sealed to."""
    encapsulation: bytes = field(repr=False)
    """ML-KEM-1024 ciphertext, 1,568 bytes."""
    sealed: bytes = field(repr=False)
    """The encoded bundle, sealed and framed."""
    signer: str
    """Id of Metadata's identity key, to be looked up in the pinned list."""
    signature: bytes = field(repr=False, default=b"")


def key_digest(public: bytes) -> bytes:
    """Return what a record calls the ML-KEM key ``public``: its SHA-256, 32 bytes."""
    return hashlib.sha256(public).digest()


def header_aad(stored: StoredBundle) -> bytes:
    """Return what the sealed bundle is bound to: the record without bundle and signature."""
    return canonical_fields(
        stored.service,
        stored.instance,
        stored.version,
        write_instant(stored.expires_at),
        stored.recipient_key,
        stored.encapsulation,
        stored.signer,
    )


def signing_input(stored: StoredBundle) -> bytes:
    """Return what the signature covers: all of the record but itself."""
    return header_aad(stored) + canonical_fields(stored.sealed)


def encode(stored: StoredBundle) -> bytes:
    """Return the bytes of ``stored``.

    Raises:
        ValueError: they would be more than 4 MiB and 16 KiB.
    """
    return _CODEC.encode(
        {
            "targetSvcId": stored.service,
            "instance": stored.instance,
            "version": stored.version,
            "expiresAt": write_instant(stored.expires_at),
            "recipientKey": stored.recipient_key,
            "encapsulation": stored.encapsulation,
            "additionalData": stored.sealed,
            "signerId": stored.signer,
            "signature": stored.signature,
        }
    )


def decode(raw: bytes) -> StoredBundle:
    """Return the record in ``raw``; nothing in it is verified here.

    Raises:
        OversizedMessageError: more than 4 MiB and 16 KiB.
        MalformedMessageError: no such record, or a field out of its form.
    """
    record = _CODEC.decode(raw)
    require(record["version"] >= 0, "the version is negative")
    require(len(record["recipientKey"]) == _DIGEST_SIZE, "the key's digest has the wrong size")
    require(
        len(record["encapsulation"]) == ENCAPSULATION_SIZE, "the encapsulation has the wrong size"
    )
    return StoredBundle(
        service=read_service(record["targetSvcId"]),
        instance=read_instance(record["instance"]),
        version=record["version"],
        expires_at=read_instant(record["expiresAt"]),
        recipient_key=record["recipientKey"],
        encapsulation=record["encapsulation"],
        sealed=record["additionalData"],
        signer=read_token(record["signerId"], "signer id"),
        signature=record["signature"],
    )
