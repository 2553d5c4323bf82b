"""Contexts trust what they were given and nothing else, and swap as a whole."""

import ssl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.tls_contexts import (
    HotContext,
    client_context,
    server_context,
    trusting_context,
)
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import TlsMaterialError
from tests.tls_materials import make_material, new_issuer, shake_hands

ISSUER = new_issuer()
OTHER = new_issuer("ca-2-1")


def test_two_parties_of_one_issuer_shake_hands() -> None:
    client, server = make_material(ISSUER), make_material(ISSUER, server=True)

    asking, answering = shake_hands(client_context(client), server_context(server))

    assert asking.version() == answering.version() == "TLSv1.3"
    assert answering.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(
        client.chain_pem[: client.chain_pem.index("-----END") + 25]
    )


def test_an_intermediate_alone_is_enough_to_trust() -> None:
    server = make_material(ISSUER, server=True)

    asking, _ = shake_hands(trusting_context(ISSUER.pem), server_context(server))

    assert asking.getpeercert()


def test_a_server_of_an_issuer_that_is_not_trusted_is_refused() -> None:
    client = make_material(ISSUER)
    stranger = make_material(OTHER, server=True, trusted=[OTHER, ISSUER])

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client_context(client), server_context(stranger))


def test_a_client_of_an_issuer_that_is_not_trusted_is_refused() -> None:
    server = make_material(ISSUER, server=True)
    stranger = make_material(OTHER, trusted=[OTHER, ISSUER])

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client_context(stranger), server_context(server))


def test_a_client_without_a_certificate_is_let_in_unnamed() -> None:
    server = make_material(ISSUER, server=True)

    _, answering = shake_hands(trusting_context(ISSUER.pem), server_context(server))

    assert answering.getpeercert(binary_form=True) is None


def test_a_clients_certificate_is_no_servers() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client_context(make_material(ISSUER)), server_context(make_material(ISSUER)))


def test_another_host_than_the_certificate_names_is_refused() -> None:
    server = make_material(ISSUER, server=True)

    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(trusting_context(ISSUER.pem), server_context(server), host="elsewhere")


def test_an_expired_certificate_is_refused_by_the_other_side() -> None:
    server = make_material(ISSUER, server=True)
    old = make_material(
        ISSUER,
        now=SystemClock().now() - timedelta(minutes=10),
        ttl=timedelta(minutes=1),
    )

    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(client_context(old), server_context(server))


@pytest.mark.parametrize("old_end", ["client", "server"])
def test_tls_1_2_is_refused_by_either_end(old_end: str) -> None:
    client = client_context(make_material(ISSUER))
    server = server_context(make_material(ISSUER, server=True))
    old = client if old_end == "client" else server
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    with pytest.raises(ssl.SSLError, match=r"(?i)protocol"):
        shake_hands(client, server)


def test_no_session_is_offered_for_resumption() -> None:
    server = server_context(make_material(ISSUER, server=True))

    asking, answering = shake_hands(client_context(make_material(ISSUER)), server)
    answering.write(b"hello")
    assert asking.read(5) == b"hello"

    assert asking.session is None or not asking.session.has_ticket


@pytest.mark.parametrize("build", [client_context, server_context])
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"key_pem": make_material(ISSUER).key_pem}, id="another key"),
        pytest.param({"key_pem": SecretBytes(b"")}, id="no key"),
        pytest.param({"chain_pem": ""}, id="no certificate"),
        pytest.param({"trust_pem": ""}, id="no trust"),
        pytest.param({"trust_pem": "garbage"}, id="garbage as trust"),
    ],
)
def test_material_that_does_not_match_is_refused(build: type, changes: dict[str, Any]) -> None:
    material = make_material(ISSUER, server=build is server_context)

    with pytest.raises(TlsMaterialError):
        build(replace(material, **changes))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_keys_go_through_memory_and_leave_no_open_file() -> None:
    before = open_files()

    client_context(make_material(ISSUER))
    with pytest.raises(TlsMaterialError):
        client_context(replace(make_material(ISSUER), chain_pem=""))

    assert open_files() == before


def test_a_hot_context_serves_whatever_is_current() -> None:
    hot = HotContext(server_context(make_material(ISSUER, server=True)))
    first, _ = shake_hands(trusting_context(ISSUER.pem), hot)

    hot.adopt(server_context(make_material(OTHER, server=True)))

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(trusting_context(ISSUER.pem), hot)
    second, _ = shake_hands(trusting_context(OTHER.pem), hot)
    assert first.getpeercert() != second.getpeercert()


def test_trust_that_was_withdrawn_is_gone_with_the_swap() -> None:
    both = make_material(ISSUER, server=True, trusted=[ISSUER, OTHER])
    client = client_context(make_material(OTHER, trusted=[OTHER, ISSUER]))
    hot = HotContext(server_context(both))
    shake_hands(client, hot)

    hot.adopt(server_context(replace(both, trust_pem=ISSUER.pem)))

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client, hot)


def test_a_hot_context_holds_nothing_itself() -> None:
    hot = HotContext(server_context(make_material(ISSUER, server=True)))

    assert hot.get_ca_certs() == []
    assert hot.cert_store_stats()["x509"] == 0
