"""The pull of a bundle: a signed request and a signed, sealed reply bound to its nonce."""

from dataclasses import dataclass, field
from typing import Final

from svc_core.domain.bundle import BundleRequest
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

NONCE_SIZE: Final = 32
KEM_PUBLIC_SIZES: Final = frozenset({1184, 1568})
"""ML-KEM-768 and ML-KEM-1024; which of them is accepted is the reader's choice."""
KEM_CIPHERTEXT_SIZES: Final = frozenset({1088, 1568})
"""Bytes of an ML-KEM-1024 public key, and of a ciphertext."""
REQUEST_LIMIT: Final = 16 * 1024
REPLY_LIMIT: Final = service_bundle.LIMIT + 16 * 1024

_REFUSAL: Final = b"N1"
_REFUSAL_LIMIT: Final = 128

_REQUEST: Final = RecordCodec.of("bundle_request", tag=b"Q1", limit=REQUEST_LIMIT)
_REPLY: Final = RecordCodec.of("bundle_reply", tag=b"A1", limit=REPLY_LIMIT)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request and the signature of the asking instance's identity key."""

    request: BundleRequest
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BundleReply:
    """A bundle on its way to the one instance that asked for it."""

    service: ServiceName
    instance: InstanceName
    nonce: bytes
    """The request's, 32 bytes."""
    version: int
    """The bundle's."""
    encapsulation: bytes = field(repr=False)
    """ML-KEM-1024 ciphertext for the request's key, 1,568 bytes."""
    sealed: bytes = field(repr=False)
    """The encoded bundle, sealed and framed."""
    signer: str
    """Id of Metadata's identity key, to be looked up in the pinned list."""
    signature: bytes = field(repr=False, default=b"")


def request_signing_input(request: BundleRequest) -> bytes:
    """Return what the signature of a request covers: all of it."""
    return canonical_fields(
        request.service,
        request.instance,
        request.kem_public,
        request.nonce,
        write_instant(request.sent_at),
    )


def encode_request(signed: SignedRequest) -> bytes:
    """Return the bytes of ``signed``."""
    return _REQUEST.encode(
        {
            "sourceSvcId": signed.request.service,
            "instance": signed.request.instance,
            "publicKey": signed.request.kem_public,
            "nonce": signed.request.nonce,
            "createTime": write_instant(signed.request.sent_at),
            "signature": signed.signature,
        }
    )


def decode_request(raw: bytes) -> SignedRequest:
    """Return the request in ``raw``; its signature is not checked here.

    Raises:
        OversizedMessageError: more than 16 KiB.
        MalformedMessageError: no request, or a field out of its form.
    """
    record = _REQUEST.decode(raw)
    require(len(record["publicKey"]) in KEM_PUBLIC_SIZES, "the KEM key has the wrong size")
    require(len(record["nonce"]) == NONCE_SIZE, "the nonce has the wrong size")
    request = BundleRequest(
        service=read_service(record["sourceSvcId"]),
        instance=read_instance(record["instance"]),
        kem_public=record["publicKey"],
        nonce=record["nonce"],
        sent_at=read_instant(record["createTime"]),
    )
    return SignedRequest(request, record["signature"])


def reply_aad(reply: BundleReply) -> bytes:
    """Return what the sealed bundle is bound to: the reply without bundle and signature."""
    return canonical_fields(
        reply.service,
        reply.instance,
        reply.nonce,
        reply.version,
        reply.encapsulation,
        reply.signer,
    )


def reply_signing_input(reply: BundleReply) -> bytes:
    """Return what the signature of a reply covers: all of it but itself."""
    return reply_aad(reply) + canonical_fields(reply.sealed)


def encode_reply(reply: BundleReply) -> bytes:
    """Return the bytes of ``reply``.

    Raises:
        ValueError: they would be more than 4 MiB and 16 KiB.
    """
    return _REPLY.encode(
        {
            "targetSvcId": reply.service,
            "instance": reply.instance,
            "nonce": reply.nonce,
            "version": reply.version,
            "encapsulation": reply.encapsulation,
            "additionalData": reply.sealed,
            "signerId": reply.signer,
            "signature": reply.signature,
        }
    )


def decode_reply(raw: bytes) -> BundleReply:
    """Return the reply in ``raw``; nothing in it is verified here.

    Raises:
        OversizedMessageError: more than 4 MiB and 16 KiB.
        MalformedMessageError: no reply, or a field out of its form.
    """
    record = _REPLY.decode(raw)
    require(
        len(record["encapsulation"]) in KEM_CIPHERTEXT_SIZES, "the encapsulation has the wrong size"
    )
    require(len(record["nonce"]) == NONCE_SIZE, "the nonce has the wrong size")
    require(record["version"] >= 0, "the version is negative")
    return BundleReply(
        service=read_service(record["targetSvcId"]),
        instance=read_instance(record["instance"]),
        nonce=record["nonce"],
        version=record["version"],
        encapsulation=record["encapsulation"],
        sealed=record["additionalData"],
        signer=read_token(record["signerId"], "signer id"),
        signature=record["signature"],
    )


def encode_refusal(code: str) -> bytes:
    """Return an unsigned "no" with its stable code; it tells a person why, and proves nothing."""
    return _REFUSAL + code.encode()


def decode_refusal(raw: bytes) -> str:
    """Return the code of a refusal, or the empty string when ``raw`` is none."""
    if not raw.startswith(_REFUSAL) or len(raw) > _REFUSAL_LIMIT:
        return ""
    code = raw[len(_REFUSAL) :]
    return code.decode() if code.isascii() and code.decode().isprintable() else ""
