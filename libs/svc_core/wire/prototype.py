"""Records of the prototype, untagged: read to be looked at, never to be acted on.

Its eleven records have the fields that its successors begin with, so most schemas are shared and
cut off after them. What is decoded is an `Inspected`, which nothing that verifies takes. One
record is all there may be: the prototype reads on to the end and keeps the last of several, here
anything behind the first is an error. Maps may be in any order, but name no key twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from svc_core.domain.secrets import SecretBytes
from svc_core.wire.records import RecordCodec


class Kind(StrEnum):
    """The records of the prototype, by its names for them."""

    SIGNED_MESSAGE = "SignedMessage"
    KYBER_EXCHANGE_MESSAGE = "KyberExchangeMessage"
    SERVICE_BUNDLE = "ServiceBundle"
    DILITHIUM_KEY = "DilithiumKey"
    TOPIC_KEY = "TopicKey"
    CA_BUNDLE_MESSAGE = "CaBundleMessage"
    SHARED_SECRET_INFO = "SharedSecretInfo"  # noqa: S105 (the name of a record)
    SERVICES_ACL_MATRIX = "ServicesACLMatrix"
    CERTIFICATE_MESSAGE = "CertificateMessage"
    AUTHENTICATION_REQUEST = "AuthenticationRequest"
    AUTHENTICATION_RESPONSE = "AuthenticationResponse"


@dataclass(frozen=True, slots=True, eq=False)
class Inspected:
    """What one record says; nobody vouches for any of it.

    It does not print its fields: some are passwords. Key material is `SecretBytes`.
    """

    kind: Kind
    fields: Mapping[str, object] = field(repr=False)
    """Values by the prototype's names, read-only: text, bytes, numbers, tuples and mappings."""


@dataclass(frozen=True, slots=True)
class _Shape:
    codec: RecordCodec
    secret: frozenset[str]


def _shape(schema: str, fields: int, kib: int, *secret: str) -> _Shape:
    codec = RecordCodec.of_prototype(schema, fields=fields, limit=kib * 1024)
    return _Shape(codec, frozenset(secret))


_SHAPES: Final[Mapping[Kind, _Shape]] = MappingProxyType(
    {
        Kind.SIGNED_MESSAGE: _shape("signed_message", 12, 64),
        Kind.KYBER_EXCHANGE_MESSAGE: _shape("kyber_exchange_message", 9, 1040),
        Kind.SERVICE_BUNDLE: _shape("service_bundle", 10, 1024, "signingKeys", "topicKeys"),
        Kind.DILITHIUM_KEY: _shape("dilithium_key", 9, 16, "privateKeyBytes"),
        Kind.TOPIC_KEY: _shape("topic_key", 8, 16, "keyData"),
        Kind.CA_BUNDLE_MESSAGE: _shape("ca_bundle", 6, 1024),
        Kind.SHARED_SECRET_INFO: _shape("shared_secret_info", 7, 16, "sharedSecret"),
        Kind.SERVICES_ACL_MATRIX: _shape("services_acl_matrix", 1, 64),
        Kind.CERTIFICATE_MESSAGE: _shape("certificate_message", 6, 64),
        Kind.AUTHENTICATION_REQUEST: _shape("authentication_request", 3, 16),
        Kind.AUTHENTICATION_RESPONSE: _shape(
            "authentication_response", 11, 16, "IdentitySymmKey", "AuthorizationSymmKey"
        ),
    }
)


def limit(kind: Kind) -> int:
    """Return the most bytes that `decode` looks at."""
    return _SHAPES[kind].codec.limit


def decode(raw: bytes, *, kind: Kind) -> Inspected:
    """Return what ``raw`` says as a record of ``kind``.

    Keys that a bundle nests stay encoded, each to be decoded by its own kind.

    Raises:
        OversizedMessageError: more bytes than the `limit` of ``kind``.
        MalformedMessageError: no such record, or more than one.
    """
    shape = _SHAPES[kind]
    record = shape.codec.decode(raw)
    values = {
        name: _read_only(value, secret=name in shape.secret) for name, value in record.items()
    }
    return Inspected(kind, MappingProxyType(values))


def _read_only(value: object, *, secret: bool) -> object:
    if isinstance(value, dict):
        return MappingProxyType({key: _read_only(v, secret=secret) for key, v in value.items()})
    if isinstance(value, list):
        return tuple(value)
    return SecretBytes(value) if secret and isinstance(value, bytes) else value
