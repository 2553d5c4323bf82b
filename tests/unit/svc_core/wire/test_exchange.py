"""Bundle requests and replies, authentication payloads."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, InstanceName
from svc_core.domain.messages import AuthenticationRequest
from svc_core.errors import MalformedMessageError
from svc_core.wire import auth, bundle_exchange
from svc_core.wire.bundle_exchange import BundleReply, SignedRequest
from svc_core.wire.records import RecordCodec
from tests.builders import NOW, fixed_bytes, make_request

SIGNED = SignedRequest(make_request(), b"signature")
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


def test_a_request_survives() -> None:
    assert bundle_exchange.decode_request(bundle_exchange.encode_request(SIGNED)) == SIGNED


def test_a_reply_survives() -> None:
    assert bundle_exchange.decode_reply(bundle_exchange.encode_reply(REPLY)) == REPLY


@pytest.mark.parametrize(
    "changes",
    [
        {"service": AUTHCONTROLLER},
        {"instance": InstanceName("other")},
        {"kem_public": bytes(1568)},
        {"nonce": bytes(32)},
        {"sent_at": NOW.replace(second=1)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_signature_of_a_request_covers_all_of_it(changes: dict[str, Any]) -> None:
    changed = make_request(**changes)

    assert bundle_exchange.request_signing_input(changed) != (
        bundle_exchange.request_signing_input(make_request())
    )


REPLY_CHANGES: dict[str, Any] = {
    "service": AUTHCONTROLLER,
    "instance": InstanceName("other"),
    "nonce": bytes(32),
    "version": 8,
    "encapsulation": bytes(1568),
    "sealed": b"other",
    "signer": "metadata-2",
}


@pytest.mark.parametrize("name", REPLY_CHANGES)
def test_the_signature_of_a_reply_covers_all_but_itself(name: str) -> None:
    changed = replace(REPLY, **{name: REPLY_CHANGES[name]})

    assert bundle_exchange.reply_signing_input(changed) != (
        bundle_exchange.reply_signing_input(REPLY)
    )
    assert (bundle_exchange.reply_aad(changed) == bundle_exchange.reply_aad(REPLY)) == (
        name == "sealed"
    )


def test_the_signature_of_a_reply_does_not_cover_itself() -> None:
    changed = replace(REPLY, signature=b"")

    assert bundle_exchange.reply_signing_input(changed) == (
        bundle_exchange.reply_signing_input(REPLY)
    )


@pytest.mark.parametrize(
    "changes",
    [{"kem_public": bytes(1567)}, {"nonce": bytes(31)}, {"service": "X"}, {"instance": "a.b"}],
)
def test_a_request_out_of_its_form_is_an_error(changes: dict[str, Any]) -> None:
    raw = bundle_exchange.encode_request(SignedRequest(make_request(**changes), b""))

    with pytest.raises(MalformedMessageError):
        bundle_exchange.decode_request(raw)


@pytest.mark.parametrize(
    "changes", [{"encapsulation": b""}, {"nonce": b""}, {"version": -1}, {"signer": ""}]
)
def test_a_reply_out_of_its_form_is_an_error(changes: dict[str, Any]) -> None:
    raw = bundle_exchange.encode_reply(replace(REPLY, **changes))

    with pytest.raises(MalformedMessageError):
        bundle_exchange.decode_reply(raw)


def test_a_refusal_says_its_code() -> None:
    raw = bundle_exchange.encode_refusal("identity.refused")

    assert bundle_exchange.decode_refusal(raw) == "identity.refused"
    with pytest.raises(MalformedMessageError):
        bundle_exchange.decode_reply(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bundle_exchange.encode_reply(REPLY),
        bundle_exchange.encode_refusal("a" * 1000),
        bundle_exchange.encode_refusal("a\nb"),
        bundle_exchange.encode_refusal("é"),
        b"N1\xff",
    ],
    ids=["nothing", "a reply", "too long", "not printable", "not ASCII", "no text"],
)
def test_anything_else_is_no_refusal(raw: bytes) -> None:
    assert not bundle_exchange.decode_refusal(raw)


@given(st.binary(max_size=150))
def test_any_bytes_are_a_refusal_or_none(rest: bytes) -> None:
    code = bundle_exchange.decode_refusal(b"N1" + rest)

    assert not code or bundle_exchange.encode_refusal(code) == b"N1" + rest


@pytest.mark.parametrize("otp", [None, "", "123456"])
def test_an_authentication_request_survives(otp: str | None) -> None:
    request = AuthenticationRequest("user1", "c2FsdA==:aGFzaA==", otp)

    assert auth.decode_request(auth.encode_request(request)) == request


def test_a_request_does_not_print_what_is_secret_in_it() -> None:
    assert repr(AuthenticationRequest("user1", "hash", "123")) == (
        "AuthenticationRequest(user_id='user1')"
    )


@pytest.mark.parametrize("tag", [b"", b"M", b"M12", b"B1"])
def test_a_tag_that_could_start_a_record_is_not_made(tag: bytes) -> None:
    with pytest.raises(ValueError, match="tag"):
        RecordCodec.of("topic_key", tag=tag, limit=1)
