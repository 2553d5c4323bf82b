"""What a bundle at rest is bound to, and that anything out of its form is an error."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, InstanceName
from svc_core.errors import MalformedMessageError, OversizedMessageError
from svc_core.wire import instance_kem, stored_bundle
from svc_core.wire.instance_kem import InstanceKem
from svc_core.wire.stored_bundle import StoredBundle
from tests.builders import NOW, fixed_bytes

STORED = StoredBundle(
    service=GATEKEEPER,
    instance=InstanceName("gatekeeper-1"),
    version=7,
    expires_at=NOW,
    recipient_key=fixed_bytes("digest"),
    encapsulation=fixed_bytes("ciphertext", 1568),
    sealed=b"sealed",
    signer="metadata-1",
    signature=b"signature",
)
CHANGES: dict[str, Any] = {
    "service": AUTHCONTROLLER,
    "instance": InstanceName("other"),
    "version": 8,
    "expires_at": NOW + timedelta(microseconds=1),
    "recipient_key": bytes(32),
    "encapsulation": bytes(1568),
    "sealed": b"other",
    "signer": "metadata-2",
}


def test_a_stored_bundle_survives() -> None:
    assert stored_bundle.decode(stored_bundle.encode(STORED)) == STORED


@pytest.mark.parametrize("name", CHANGES)
def test_the_signature_covers_all_but_itself_and_the_seal_all_but_both(name: str) -> None:
    changed = replace(STORED, **{name: CHANGES[name]})

    assert stored_bundle.signing_input(changed) != stored_bundle.signing_input(STORED)
    is_bound = stored_bundle.header_aad(changed) != stored_bundle.header_aad(STORED)
    assert is_bound == (name != "sealed")


def test_the_signature_does_not_cover_itself() -> None:
    changed = replace(STORED, signature=b"")

    assert stored_bundle.signing_input(changed) == stored_bundle.signing_input(STORED)


@pytest.mark.parametrize(
    "changes",
    [
        {"encapsulation": bytes(1088)},
        {"recipient_key": bytes(31)},
        {"version": -1},
        {"signer": ""},
        {"service": "X"},
        {"instance": "a.b"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_record_out_of_its_form_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessageError):
        stored_bundle.decode(stored_bundle.encode(replace(STORED, **changes)))


def test_what_was_cut_off_is_an_error() -> None:
    raw = stored_bundle.encode(STORED)

    for size in (0, 1, 2, len(raw) // 2, len(raw) - 1):
        with pytest.raises(MalformedMessageError):
            stored_bundle.decode(raw[:size])


def test_what_is_too_large_is_refused_unread() -> None:
    with pytest.raises(OversizedMessageError):
        stored_bundle.decode(b"C1" + bytes(stored_bundle.LIMIT))


KEM = InstanceKem(GATEKEEPER, InstanceName("gatekeeper-1"), fixed_bytes("public", 1568), NOW)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"instance-kem/1", b"instance-kem/2"), (b"ML-KEM-1024", b"ML-KEM-768"), (b"gate", b"Gate")],
)
def test_a_registration_out_of_its_form_is_an_error(old: bytes, new: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        instance_kem.decode(instance_kem.encode(KEM).replace(old, new))


def test_a_registered_key_has_one_size() -> None:
    with pytest.raises(MalformedMessageError):
        instance_kem.decode(instance_kem.encode(replace(KEM, public=bytes(1184))))
