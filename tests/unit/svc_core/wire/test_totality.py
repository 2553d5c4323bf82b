"""Any bytes give a value or one error, for every decoder there is; what is encoded decodes."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import GATEKEEPER, InstanceName
from svc_core.domain.messages import AuthenticationRequest, AuthenticationResponse
from svc_core.domain.sealed import Sealed
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import AUTH_REQUEST
from svc_core.errors import MalformedMessageError, OversizedMessageError
from svc_core.wire import (
    auth,
    bundle_exchange,
    desired,
    documents,
    framing,
    identities,
    key_records,
    service_bundle,
    signed_message,
    status,
)
from svc_core.wire.bundle_exchange import BundleReply, SignedRequest
from svc_core.wire.documents import SignedDocument
from svc_core.wire.identities import PublicIdentity, SignedIdentities
from tests.builders import (
    KeyAuthority,
    fixed_bytes,
    make_bundle,
    make_desired,
    make_message,
    make_request,
    make_status,
)

SIGNER = "gatekeeper/gatekeeper-1"
KEYS = KeyAuthority()


def response(**changes: object) -> AuthenticationResponse:
    """Return an approval."""
    values = {
        "oid": "oid-1",
        "user_token": "token_user1_1",
        "password_hash": "c2FsdA==:aGFzaA==",
        "identity_token": "identity_1",
        "identity_key": SecretBytes(fixed_bytes("identity")),
        "identity_iv": bytes(16),
        "authorization_token": "auth_1",
        "authorization_key": SecretBytes(fixed_bytes("authorization")),
        "authorization_iv": bytes(16),
        "account_status": "ACTIVE",
        "member_level": "STANDARD",
    }
    return AuthenticationResponse(**values | changes)  # type: ignore[arg-type]


REPLY = BundleReply(
    service=GATEKEEPER,
    instance=InstanceName("gatekeeper-1"),
    nonce=fixed_bytes("nonce"),
    version=7,
    encapsulation=fixed_bytes("ciphertext", 1568),
    sealed=b"sealed",
    signer="metadata-1",
    signature=b"signature",
)
LISTED = SignedIdentities(
    (PublicIdentity("metadata-1", "ML-DSA-87", fixed_bytes("public", 2592)),), b"signature"
)


@dataclass(frozen=True)
class Codec:
    """One pair of functions and a value for it."""

    encode: Callable[..., bytes]
    decode: Callable[[bytes], object]
    value: object
    limit: int | None = None


CODECS = {
    "signed message": Codec(
        signed_message.encode, signed_message.decode, make_message(), signed_message.LIMIT
    ),
    "framing": Codec(
        framing.encode, framing.decode, Sealed(bytes(32), bytes(12), bytes(16), b"text")
    ),
    "authentication request": Codec(
        auth.encode_request, auth.decode_request, AuthenticationRequest("u", "h", "1"), auth.LIMIT
    ),
    "authentication response": Codec(
        auth.encode_response, auth.decode_response, response(), auth.LIMIT
    ),
    "bundle request": Codec(
        bundle_exchange.encode_request,
        bundle_exchange.decode_request,
        SignedRequest(make_request(), b"signature"),
        bundle_exchange.REQUEST_LIMIT,
    ),
    "bundle reply": Codec(
        bundle_exchange.encode_reply,
        bundle_exchange.decode_reply,
        REPLY,
        bundle_exchange.REPLY_LIMIT,
    ),
    "service bundle": Codec(
        service_bundle.encode, service_bundle.decode, make_bundle(), service_bundle.LIMIT
    ),
    "signing key": Codec(
        key_records.encode_signing_key,
        key_records.decode_signing_key,
        KEYS.signing_key(GATEKEEPER, Epoch(7)),
        key_records.LIMIT,
    ),
    "verify key": Codec(
        key_records.encode_verify_key,
        key_records.decode_verify_key,
        KEYS.verify_key(GATEKEEPER, Epoch(7)),
        key_records.LIMIT,
    ),
    "topic key": Codec(
        key_records.encode_topic_key,
        key_records.decode_topic_key,
        KEYS.topic_key(AUTH_REQUEST, Epoch(7), generation=2),
        key_records.LIMIT,
    ),
    "signed document": Codec(
        documents.encode,
        documents.decode,
        SignedDocument(b"body", "metadata-1", b"signature"),
        documents.LIMIT,
    ),
    "desired state": Codec(desired.encode, desired.decode, make_desired()),
    "status": Codec(status.encode, lambda raw: status.decode(raw, signer=SIGNER), make_status()),
    "identities": Codec(identities.encode, identities.decode, LISTED, identities.LIMIT),
}
# A shorter ciphertext is a ciphertext too.
CUTTABLE = {name: codec for name, codec in CODECS.items() if name != "framing"}
every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


@every_codec
def test_what_is_encoded_decodes_to_the_same(codec: Codec) -> None:
    raw = codec.encode(codec.value)

    assert codec.encode(codec.decode(raw)) == raw


@every_codec
@given(raw=st.binary(max_size=300))
def test_any_bytes_give_a_value_or_the_one_error(codec: Codec, raw: bytes) -> None:
    with suppress(MalformedMessageError):
        codec.decode(raw)


@every_codec
@given(data=st.data())
def test_any_damage_gives_a_value_or_the_one_error(codec: Codec, data: st.DataObject) -> None:
    raw = bytearray(codec.encode(codec.value))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, raw[place] ^ 1]))
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    with suppress(MalformedMessageError):
        codec.decode(bytes(raw))


@pytest.mark.parametrize("codec", CUTTABLE.values(), ids=CUTTABLE)
def test_no_cut_decodes(codec: Codec) -> None:
    raw = codec.encode(codec.value)
    step = max(1, len(raw) // 500)

    for size in range(0, len(raw) - 1, step):
        with pytest.raises(MalformedMessageError):
            codec.decode(raw[:size])


BINARY = {name: c for name, c in CODECS.items() if c.limit and name != "identities"}
every_binary = pytest.mark.parametrize("codec", BINARY.values(), ids=BINARY)


@every_binary
def test_trailing_bytes_are_an_error(codec: Codec) -> None:
    with pytest.raises(MalformedMessageError, match="canonical"):
        codec.decode(codec.encode(codec.value) + b"\0")


@every_binary
def test_another_format_tag_is_an_error(codec: Codec) -> None:
    raw = codec.encode(codec.value)

    with pytest.raises(MalformedMessageError, match="tag"):
        codec.decode(raw[:1] + b"2" + raw[2:])


def test_no_two_records_share_a_tag() -> None:
    tags = {codec.encode(codec.value)[:2] for codec in BINARY.values()}

    # A signing key and its public half are the same record.
    assert len(tags) == len(BINARY) - 1


@pytest.mark.parametrize(
    "codec",
    [c for c in CODECS.values() if c.limit],
    ids=[name for name, c in CODECS.items() if c.limit],
)
def test_more_bytes_than_the_limit_are_not_even_looked_at(codec: Codec) -> None:
    assert codec.limit is not None

    with pytest.raises(OversizedMessageError):
        codec.decode(bytes(codec.limit + 1))


def test_a_value_above_the_limit_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="limit is 65536"):
        signed_message.encode(make_message(payload=bytes(64 * 1024)))
