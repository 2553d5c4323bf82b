"""Leaves come from a named issuer, for exact names, and never outlive it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from svc_core.crypto.certificates import check_material
from svc_core.domain.desired import TrustMode
from svc_core.errors import NotFoundError, RequestRefusedError, UntrustedAnswerError
from svc_core.flows.leaf_issuing import ROUTE_MOUNT, LeafIssuing, LeafSpec, retrusted
from tests.authority import Authority
from tests.builders import DEMO, make_surroundings
from tests.fakes.clock import SteppedClock

CLIENT = LeafSpec("gatekeeper", uris=("spiffe://x/ns/d/sa/gatekeeper",))
SERVER = LeafSpec("gatekeeper-admin", dns=("localhost",), ips=("127.0.0.1",), server=True)


@pytest.fixture
async def authority() -> Authority:
    return Authority()


@pytest.fixture
async def issuing(authority: Authority) -> LeafIssuing:
    return LeafIssuing(authority.certificates, make_surroundings(authority.clock))


@pytest.mark.parametrize("spec", [CLIENT, SERVER], ids=["client", "server"])
async def test_issued_material_stands_in_a_handshake(
    authority: Authority, issuing: LeafIssuing, spec: LeafSpec
) -> None:
    state = authority.state(1, 101, 100, active=100)

    material = await issuing.issue(spec, state, "ca-100-1")

    check_material(
        material.chain_pem,
        material.key_pem,
        material.trust_pem,
        now=authority.clock.now(),
        server=spec.server,
    )
    assert material.issuer == "ca-100-1"
    assert material.trust_pem == state.trust_pem
    assert material.chain_pem.count("BEGIN CERTIFICATE") == 2


async def test_the_request_carries_exactly_the_names_and_no_subject(
    authority: Authority, issuing: LeafIssuing
) -> None:
    await issuing.issue(CLIENT, authority.state(1, 100), "ca-100-1")

    (request,) = authority.certificates.signed
    csr = x509.load_pem_x509_csr(request.csr_pem.encode())
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(CLIENT.uris[0])]
    assert not list(csr.subject)
    assert request.role == "gatekeeper"


async def test_every_leaf_has_a_key_of_its_own(authority: Authority, issuing: LeafIssuing) -> None:
    state = authority.state(1, 100)
    first = await issuing.issue(CLIENT, state, "ca-100-1")
    second = await issuing.issue(CLIENT, state, "ca-100-1")

    assert first.key_pem.reveal() != second.key_pem.reveal()


async def test_a_leaf_lives_as_long_as_the_profile_says(
    authority: Authority, issuing: LeafIssuing
) -> None:
    await issuing.issue(CLIENT, authority.state(1, 100), "ca-100-1")

    assert authority.certificates.signed[0].ttl == DEMO.leaf_ttl


async def test_near_the_issuers_end_leaves_are_shortened(
    authority: Authority, issuing: LeafIssuing
) -> None:
    authority.mint(100, life=timedelta(seconds=11))

    await issuing.issue(CLIENT, authority.state(1, 100), "ca-100-1")

    assert authority.certificates.signed[0].ttl == timedelta(seconds=10)


async def test_near_the_issuers_end_a_slow_clock_gets_a_shorter_leaf_and_not_none(
    authority: Authority,
) -> None:
    """OpenBao signs nothing that would outlive the issuer, and judges that by its own clock."""
    authority.mint(100, life=timedelta(seconds=30))
    slow = SteppedClock()
    slow.ahead = -DEMO.skew
    issuing = LeafIssuing(authority.certificates, make_surroundings(slow))

    await issuing.issue(CLIENT, authority.state(1, 100), "ca-100-1")

    assert authority.certificates.signed[0].ttl == timedelta(seconds=29)


async def test_what_is_refused_for_another_reason_is_not_asked_for_in_vain(
    authority: Authority, issuing: LeafIssuing
) -> None:
    state = authority.state(1, 100)
    authority.certificates.failure = RequestRefusedError("no such name is allowed")

    with pytest.raises(RequestRefusedError, match="no such name"):
        await issuing.issue(CLIENT, state, "ca-100-1")


async def test_in_mode_chain_material_carries_the_roots_that_signed_what_it_trusts(
    authority: Authority, issuing: LeafIssuing
) -> None:
    root = authority.mint(100).pem
    state = replace(authority.state(1, 100), trust_mode=TrustMode.CHAIN, root_pem=root)

    material = await issuing.issue(CLIENT, state, "ca-100-1")

    assert (material.root_pem, material.trust_pem) == (root, state.trust_pem)
    assert retrusted(material, CLIENT, authority.state(2, 100)).root_pem == ""


async def test_in_mode_chain_nothing_is_signed_while_an_issuer_has_no_trusted_root(
    authority: Authority, issuing: LeafIssuing
) -> None:
    root = authority.mint(99).pem
    state = replace(authority.state(1, 100), trust_mode=TrustMode.CHAIN, root_pem=root)

    with pytest.raises(UntrustedAnswerError, match="CN=ca-100-1"):
        await issuing.issue(CLIENT, state, "ca-100-1")

    assert authority.certificates.signed == []


@pytest.mark.parametrize("life_s", [-5, 0, 2])
async def test_an_issuer_at_its_end_signs_nothing(
    authority: Authority, issuing: LeafIssuing, life_s: int
) -> None:
    authority.mint(100, life=timedelta(seconds=life_s))

    with pytest.raises(NotFoundError, match="too near its end"):
        await issuing.issue(CLIENT, authority.state(1, 100), "ca-100-1")


async def test_an_issuer_that_is_not_trusted_is_not_asked(
    authority: Authority, issuing: LeafIssuing
) -> None:
    authority.mint(99)

    with pytest.raises(NotFoundError, match="not trusted"):
        await issuing.issue(CLIENT, authority.state(1, 100), "ca-99-1")

    assert authority.certificates.signed == []


async def test_routes_have_trust_of_their_own(authority: Authority, issuing: LeafIssuing) -> None:
    state = authority.state(1, 100)
    spec = LeafSpec("nats-route", uris=("spiffe://x/ns/d/sa/nats-route",), mount=ROUTE_MOUNT)

    material = await issuing.issue(spec, state, "ca-100-1")

    assert authority.certificates.signed[0].mount == "nats_route"
    assert material.trust_pem == state.route_trust_pem


async def test_new_trust_leaves_certificate_and_key_as_they_are(
    authority: Authority, issuing: LeafIssuing
) -> None:
    material = await issuing.issue(CLIENT, authority.state(1, 100), "ca-100-1")
    later = authority.state(2, 101, 100, active=100)

    moved = retrusted(material, CLIENT, later)

    assert moved.trust_pem == later.trust_pem
    assert (moved.chain_pem, moved.key_pem) == (material.chain_pem, material.key_pem)
