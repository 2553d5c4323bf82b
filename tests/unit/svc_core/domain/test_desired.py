from dataclasses import replace
from datetime import UTC, datetime

import pytest

from svc_core.domain.desired import DesiredState, TrustedIssuer, TrustMode

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def issuer(name: str) -> TrustedIssuer:
    return TrustedIssuer(name, 7, f"{name} pem\n\n", f" {name} route pem", NOON)


STATE = DesiredState(
    version=3,
    profile="testing",
    active="ca-7-1",
    issuers=(issuer("ca-8-1"), issuer("ca-7-1")),
    root_pem="root pem",
    grants={},
    kicked_issuers=(),
    made_at=NOON,
)


def test_issuers_are_found_by_name() -> None:
    assert STATE.issuer("ca-8-1") is STATE.issuers[0]
    assert STATE.issuer("ca-9-1") is None


def test_the_active_issuer_is_the_one_named() -> None:
    assert STATE.active_issuer is STATE.issuers[1]


def test_an_active_issuer_outside_the_trusted_set_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in the trusted set"):
        replace(STATE, active="ca-9-1").active_issuer  # noqa: B018 (reading it is the test)


def test_trust_files_hold_the_trusted_intermediates_and_never_the_root() -> None:
    assert STATE.trust_pem == STATE.server_trust_pem == "ca-8-1 pem\nca-7-1 pem\n"
    assert STATE.route_trust_pem == "ca-8-1 route pem\nca-7-1 route pem\n"
    assert STATE.anchor_pem == ""


def test_in_mode_chain_the_root_is_added_to_what_servers_trust_in_clients_and_to_nothing_else() -> (
    None
):
    chain = replace(STATE, trust_mode=TrustMode.CHAIN)

    assert chain.server_trust_pem == "ca-8-1 pem\nca-7-1 pem\nroot pem"
    assert (chain.trust_pem, chain.route_trust_pem) == (STATE.trust_pem, STATE.route_trust_pem)
    assert chain.anchor_pem == "root pem"
