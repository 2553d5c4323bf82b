"""Signed documents and what they carry: desired state, status, list of identities."""

import base64
import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.identity import GATEKEEPER, InstanceName
from svc_core.errors import MalformedMessageError
from svc_core.wire import desired, documents, identities, status
from svc_core.wire.documents import SignedDocument
from svc_core.wire.identities import PublicIdentity, SignedIdentities
from tests.builders import NOW, fixed_bytes, make_desired, make_status

DOCUMENT = SignedDocument(b"body", "metadata-1", b"signature")
SIGNER = "gatekeeper/gatekeeper-1"


def test_a_document_survives_the_wire_and_the_store() -> None:
    assert documents.decode(documents.encode(DOCUMENT)) == DOCUMENT
    entry = json.loads(json.dumps(documents.encode_entry(DOCUMENT)))
    assert documents.decode_entry(entry) == DOCUMENT


def test_the_signature_covers_who_signed() -> None:
    one = documents.signing_input("metadata-1", b"body")

    assert one != documents.signing_input("metadata-2", b"body")
    assert one != documents.signing_input("metadata-1b", b"ody")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"signer": 7}, id="signer is no text"),
        pytest.param({"signer": "a b"}, id="signer is no token"),
        pytest.param({"document": "?"}, id="no base64"),
        pytest.param({"document": 7}, id="no text"),
        pytest.param({"document": "Ym9keR=="}, id="another spelling of the same base64"),
        pytest.param({"signature": "é"}, id="not ASCII"),
        pytest.param({"more": ""}, id="unknown field"),
    ],
)
def test_an_entry_out_of_its_form_is_an_error(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedMessageError):
        documents.decode_entry(documents.encode_entry(DOCUMENT) | changes)


entry_values = st.none() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=3))


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["document", "signature", "signer", "x"], entry_values)
    )
)
def test_any_entry_is_a_document_or_refused(entry: dict[str, object]) -> None:
    with suppress(MalformedMessageError):
        assert documents.encode_entry(documents.decode_entry(entry)) == entry


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_an_entry_survives_whatever_is_signed(body: bytes, signature: bytes) -> None:
    document = SignedDocument(body, "metadata-1", signature)

    assert documents.decode_entry(documents.encode_entry(document)) == document


@pytest.mark.parametrize("missing", ["document", "signature", "signer"])
def test_an_incomplete_entry_is_an_error(missing: str) -> None:
    entry = documents.encode_entry(DOCUMENT)
    del entry[missing]

    with pytest.raises(MalformedMessageError):
        documents.decode_entry(entry)


def test_a_desired_state_survives() -> None:
    assert desired.decode(desired.encode(make_desired())) == make_desired()


def test_a_desired_state_is_canonical_json() -> None:
    raw = desired.encode(make_desired())

    expected = json.dumps(
        json.loads(raw), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert raw.decode() == expected


DESIRED = json.loads(desired.encode(make_desired()))
ISSUER = DESIRED["issuers"][0]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"format": "desired-state/2"}, id="another format"),
        pytest.param({"revoked": []}, id="nobody revoked, and written down"),
        pytest.param({"revoked": ["Not One"]}, id="revoked, and no service's name"),
        pytest.param({"version": 0}, id="version 0"),
        pytest.param({"version": "3"}, id="version as text"),
        pytest.param({"version": 2**63}, id="version of 64 bits"),
        pytest.param({"active": "ca-1-1"}, id="active issuer not trusted"),
        pytest.param({"issuers": []}, id="nobody trusted"),
        pytest.param({"issuers": [ISSUER, ISSUER], "active": "ca-101-1"}, id="issuer twice"),
        pytest.param({"issuers": [ISSUER | {"epoch": -1}]}, id="negative epoch"),
        pytest.param({"grants": {"NOBODY": {"publish": [], "subscribe": []}}}, id="no service"),
        pytest.param({"grants": {"x": {"publish": ["a.*"], "subscribe": []}}}, id="wildcard"),
        pytest.param({"made_at": "now"}, id="no instant"),
        pytest.param({"profile": ""}, id="no profile"),
        pytest.param({"more": 1}, id="unknown field"),
    ],
)
def test_a_desired_state_out_of_its_form_is_an_error(changes: dict[str, Any]) -> None:
    raw = json.dumps(DESIRED | changes, sort_keys=True, separators=(",", ":")).encode()

    with pytest.raises(MalformedMessageError):
        desired.decode(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(json.dumps(DESIRED, sort_keys=True).encode(), id="white space"),
        pytest.param(desired.encode(make_desired()) + b"\n", id="line end"),
        pytest.param(b"[" * 200_000, id="deep nesting"),
        pytest.param(b'{"' + b"\xff" + b'":1}', id="not UTF-8"),
    ],
)
def test_only_the_canonical_form_is_taken(raw: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        desired.decode(raw)


def test_who_is_revoked_survives_and_is_left_out_when_nobody_is() -> None:
    revoking = make_desired(revoked=(GATEKEEPER,))

    assert desired.decode(desired.encode(revoking)) == revoking
    assert b"revoked" not in desired.encode(make_desired())


def test_the_bundle_in_use_survives_and_is_left_out_when_there_is_none() -> None:
    using = make_status(bundle_version=7)

    assert status.decode(status.encode(using), signer=SIGNER) == using
    assert b"bundle_version" not in status.encode(make_status())


def test_a_status_survives() -> None:
    assert status.decode(status.encode(make_status()), signer=SIGNER) == make_status()


def test_a_status_speaks_for_its_signer_only() -> None:
    raw = status.encode(make_status(instance=InstanceName("gatekeeper-2")))

    with pytest.raises(MalformedMessageError, match="speaks for its signer"):
        status.decode(raw, signer=SIGNER)


def test_the_signer_of_a_status_is_service_and_instance() -> None:
    assert status.signer_of(GATEKEEPER, InstanceName("gatekeeper-1")) == SIGNER


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "?"},
        {"sent_at": ""},
        {"boot_id": ""},
        {"x": 1},
        {"version": -(2**63) - 1},
        {"key_epoch": 10**4000},
        {"connections": {"ca-100-1": 2**63}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_status_out_of_its_form_is_an_error(changes: dict[str, Any]) -> None:
    document = json.loads(status.encode(make_status())) | changes
    raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    with pytest.raises(MalformedMessageError):
        status.decode(raw, signer=SIGNER)


def test_an_instant_without_a_zone_is_not_written() -> None:
    with pytest.raises(ValueError, match="time zone"):
        status.encode(make_status(sent_at=NOW.replace(tzinfo=None)))


def test_instants_keep_their_microseconds() -> None:
    late = make_status(sent_at=NOW + timedelta(microseconds=1))

    assert status.decode(status.encode(late), signer=SIGNER) == late


IDENTITY = PublicIdentity("metadata-1", "ML-DSA-87", fixed_bytes("public", 2592))
LISTED = SignedIdentities((IDENTITY,), b"signature")


def test_a_list_of_identities_survives() -> None:
    assert identities.decode(identities.encode(LISTED)) == LISTED


def test_the_operators_signature_covers_every_identity_and_their_order() -> None:
    other = replace(IDENTITY, id="metadata-2")

    inputs = {
        identities.signing_input(listed)
        for listed in [(), (IDENTITY,), (other,), (IDENTITY, other), (other, IDENTITY)]
    }

    assert len(inputs) == 5


def test_the_operators_signature_covers_version_and_former_identities() -> None:
    other, third = replace(IDENTITY, id="metadata-2"), replace(IDENTITY, id="metadata-3")

    inputs = {
        identities.signing_input(listed, version=version, former=former)
        for listed, version, former in [
            ((IDENTITY,), 0, ()),
            ((IDENTITY,), 1, ()),
            ((IDENTITY,), 2, ()),
            ((IDENTITY,), 2, (other,)),
            ((IDENTITY, other), 2, ()),
            ((other,), 2, (IDENTITY,)),
            ((IDENTITY,), 2, (other, third)),
            ((IDENTITY,), 2, (third, other)),
        ]
    }

    assert len(inputs) == 8


def test_a_list_of_version_0_is_signed_and_written_as_it_always_was() -> None:
    covered = json.dumps(
        [
            {
                "algorithm": IDENTITY.algorithm,
                "id": IDENTITY.id,
                "public": base64.b64encode(IDENTITY.public).decode(),
            }
        ],
        separators=(",", ":"),
    )

    assert LISTED.signing_input == covered.encode()
    assert set(json.loads(identities.encode(LISTED))) == {"identities", "signature"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"version": -1}, id="negative version"),
        pytest.param({"version": identities.LATEST + 1}, id="version too high"),
        pytest.param({"former": (replace(IDENTITY, id="metadata-2"),)}, id="former in version 0"),
        pytest.param({"version": 1, "former": (IDENTITY,)}, id="former and still listed"),
        pytest.param(
            {"version": 1, "former": tuple(replace(IDENTITY, id=f"m{n}") for n in range(9))},
            id="too many former",
        ),
    ],
)
def test_a_list_out_of_its_versions_is_an_error(changes: dict[str, Any]) -> None:
    raw = identities.encode(replace(LISTED, **changes))

    with pytest.raises(MalformedMessageError):
        identities.decode(raw)


def test_a_list_may_be_laid_out_by_hand() -> None:
    raw = json.dumps(json.loads(identities.encode(LISTED)), indent=8).encode()

    assert identities.decode(raw) == LISTED


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param((), id="empty"),
        pytest.param((IDENTITY, IDENTITY), id="twice the same id"),
        pytest.param((replace(IDENTITY, public=b"short"),), id="key cut off"),
        pytest.param((replace(IDENTITY, algorithm="RSA"),), id="unknown algorithm"),
        pytest.param((replace(IDENTITY, id="a b"),), id="no token"),
    ],
)
def test_a_list_out_of_its_form_is_an_error(listed: tuple[PublicIdentity, ...]) -> None:
    raw = identities.encode(SignedIdentities(listed, b"signature"))

    with pytest.raises(MalformedMessageError):
        identities.decode(raw)
