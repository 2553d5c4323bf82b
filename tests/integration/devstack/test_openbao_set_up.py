"""What the bootstrap made of a real OpenBao: roles, policies, credentials, its own repetition."""

import asyncio
import os
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devstack.openbao_api import OpenBaoApi
from svc_core.adapters.openbao import open_openbao
from svc_core.crypto.certificates import certificate_request, new_leaf_key
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    GATEKEEPER,
    METADATA,
    NATS_ROUTE,
    NATS_SERVER,
    WATCHER,
    WATCHER_SYS,
)
from svc_core.errors import AccessDeniedError, RequestRefusedError
from tests.integration.background import complete
from tests.integration.bare_stack import (
    DEPLOYMENT,
    PROFILE,
    RunningOpenBao,
    make_intermediate,
)
from tests.integration.svc_core.own_approle import renewal_of

ISSUER = "ca-7-1"
OWN_URI = DEPLOYMENT.spiffe_id(GATEKEEPER)
FOREIGN_URI = DEPLOYMENT.spiffe_id(METADATA)


@pytest.fixture(scope="module")
def issuer(openbao: RunningOpenBao) -> str:
    async def make() -> None:
        async with openbao.logged_in(METADATA) as metadata:
            await make_intermediate(metadata, "nats_int", ISSUER)
            await make_intermediate(metadata, "nats_route", ISSUER)

    complete(make)
    return ISSUER


def request_for(*names: x509.GeneralName, common_name: str = "") -> str:
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        san = x509.SubjectAlternativeName(list(names))
        builder = builder.add_extension(san, critical=False)
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


async def sign(session: OpenBaoApi, role: str, csr: str, ttl: str = "60s") -> x509.Certificate:
    body = {"csr": csr, "ttl": ttl}
    answer = await session.write(f"nats_int/issuer/{ISSUER}/sign/{role}", body)
    return x509.load_pem_x509_certificate(str(answer["data"]["certificate"]).encode())


async def test_a_client_leaf_has_one_uri_and_may_only_be_a_client(
    openbao: RunningOpenBao, issuer: str
) -> None:
    csr = certificate_request(new_leaf_key(os.urandom), uris=[OWN_URI])

    async with openbao.logged_in(GATEKEEPER) as session:
        leaf = await sign(session, GATEKEEPER, csr)

    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(names) == [x509.UniformResourceIdentifier(OWN_URI)]
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert list(leaf.subject) == []
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc >= PROFILE.backdate


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([x509.UniformResourceIdentifier(FOREIGN_URI)], id="another service's URI"),
        pytest.param(
            [x509.UniformResourceIdentifier(OWN_URI), x509.UniformResourceIdentifier(FOREIGN_URI)],
            id="its own URI and another",
        ),
        pytest.param(
            [x509.UniformResourceIdentifier(OWN_URI), x509.DNSName("metadata")], id="a DNS name"
        ),
        pytest.param(
            [x509.UniformResourceIdentifier(OWN_URI), x509.RFC822Name("metadata@x.local")],
            id="an e-mail address",
        ),
    ],
)
async def test_a_client_role_signs_no_other_name(
    openbao: RunningOpenBao, issuer: str, names: list[x509.GeneralName]
) -> None:
    async with openbao.logged_in(GATEKEEPER) as session:
        with pytest.raises(RequestRefusedError):
            await sign(session, GATEKEEPER, request_for(*names))


async def test_a_common_name_in_the_request_does_not_reach_the_certificate(
    openbao: RunningOpenBao, issuer: str
) -> None:
    csr = request_for(x509.UniformResourceIdentifier(OWN_URI), common_name="metadata")

    async with openbao.logged_in(GATEKEEPER) as session:
        leaf = await sign(session, GATEKEEPER, csr)

    assert list(leaf.subject) == []


async def test_an_admin_leaf_is_a_server_of_this_machine_only(
    openbao: RunningOpenBao, issuer: str
) -> None:
    key = new_leaf_key(os.urandom)
    role = f"{GATEKEEPER}-admin"
    local = certificate_request(key, dns=[GATEKEEPER, "localhost"], ips=["127.0.0.1"])

    async with openbao.logged_in(GATEKEEPER) as session:
        leaf = await sign(session, role, local)
        for foreign in (
            certificate_request(key, dns=[METADATA]),
            certificate_request(key, dns=["x.localhost"]),
            certificate_request(key, ips=["10.0.0.1"]),
            certificate_request(key, dns=["localhost"], uris=[OWN_URI]),
        ):
            with pytest.raises(RequestRefusedError):
                await sign(session, role, foreign)

    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


async def test_a_leaf_lives_at_most_twice_the_profiles_time(
    openbao: RunningOpenBao, issuer: str
) -> None:
    csr = certificate_request(new_leaf_key(os.urandom), uris=[OWN_URI])

    async with openbao.logged_in(GATEKEEPER) as session:
        leaf = await sign(session, GATEKEEPER, csr, ttl="20h")

    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert life <= 2 * PROFILE.leaf_ttl + PROFILE.backdate + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("role", "method", "path"),
    [
        (GATEKEEPER, "POST", f"nats_int/issuer/{ISSUER}/sign/{METADATA}"),
        (GATEKEEPER, "POST", f"nats_int/issuer/{ISSUER}/sign/{WATCHER_SYS}"),
        (GATEKEEPER, "POST", f"nats_int/issuer/{ISSUER}/sign/{NATS_SERVER}"),
        (GATEKEEPER, "POST", f"nats_route/issuer/{ISSUER}/sign/{NATS_ROUTE}"),
        (GATEKEEPER, "POST", f"nats_int/sign/{GATEKEEPER}"),
        (GATEKEEPER, "POST", f"nats_int/issuer/{ISSUER}/sign-verbatim"),
        (GATEKEEPER, "POST", "pki/root/sign-intermediate"),
        (GATEKEEPER, "POST", "secret/data/transport/desired"),
        (GATEKEEPER, "GET", "secret/data/transport/journal"),
        (GATEKEEPER, "GET", "secret/data/transport/keys/1"),
        (GATEKEEPER, "POST", f"secret/data/identities/{AUTHCONTROLLER}/x1"),
        (GATEKEEPER, "POST", "transit/decrypt/bundle-master"),
        (GATEKEEPER, "POST", f"auth/approle/role/{METADATA}/secret-id"),
        (AUTHCONTROLLER, "POST", f"nats_int/issuer/{ISSUER}/sign/{GATEKEEPER}"),
        (WATCHER, "POST", f"nats_int/issuer/{ISSUER}/sign/{METADATA}"),
        (WATCHER, "DELETE", f"nats_int/issuer/{ISSUER}"),
        (WATCHER, "POST", "secret/data/transport/desired"),
        (METADATA, "POST", f"nats_int/issuer/{ISSUER}/sign/{NATS_SERVER}"),
        (METADATA, "POST", f"nats_route/issuer/{ISSUER}/sign/{NATS_ROUTE}"),
        (METADATA, "POST", f"nats_int/roles/{METADATA}"),
        (METADATA, "POST", f"secret/data/identities/{GATEKEEPER}/x1"),
        (METADATA, "POST", "secret/data/commands/x1"),
        (METADATA, "POST", "sys/policies/acl/metadata"),
        (METADATA, "DELETE", "pki/root"),
        (METADATA, "POST", "pki/root/sign-intermediate"),
        (METADATA, "POST", "pki/issuer/root"),
        ("operator", "POST", "secret/data/transport/desired"),
        ("operator", "POST", f"nats_int/issuer/{ISSUER}/sign/{METADATA}"),
    ],
)
async def test_a_role_is_denied_what_is_not_its_own(
    openbao: RunningOpenBao, issuer: str, role: str, method: str, path: str
) -> None:
    async with openbao.logged_in(role) as session:
        with pytest.raises(AccessDeniedError):
            await session.call(method, path, {} if method == "POST" else None)


async def test_an_identity_is_made_once_and_never_replaced(openbao: RunningOpenBao) -> None:
    path = f"secret/data/identities/{WATCHER}/once"

    async with openbao.logged_in(WATCHER) as session:
        await session.write(path, {"data": {"public": "mine"}})
        with pytest.raises(AccessDeniedError):
            await session.write(path, {"data": {"public": "another"}})
    async with openbao.logged_in(METADATA) as metadata:
        stored = await metadata.read(path)

    assert stored["data"]["data"] == {"public": "mine"}


async def test_the_operator_leaves_a_command_that_metadata_reads(openbao: RunningOpenBao) -> None:
    async with openbao.logged_in("operator") as operator:
        await operator.write("secret/data/commands/c1", {"data": {"kind": "rotate"}})
        with pytest.raises(AccessDeniedError):
            await operator.write("secret/data/commands/c1", {"data": {"kind": "other"}})
    async with openbao.logged_in(METADATA) as metadata:
        names = await metadata.call("LIST", "secret/metadata/commands")

    assert names["data"]["keys"] == ["c1"]


async def test_metadata_retires_an_issuer_with_its_key(openbao: RunningOpenBao) -> None:
    async with openbao.logged_in(METADATA) as metadata:
        await make_intermediate(metadata, "nats_int", "ca-8-1")
        issuer = await metadata.read("nats_int/issuer/ca-8-1")
        await metadata.call("DELETE", "nats_int/issuer/ca-8-1")
        await metadata.call("DELETE", f"nats_int/key/{issuer['data']['key_id']}")
        listed = await metadata.call("LIST", "nats_int/keys")

    assert issuer["data"]["key_id"] not in listed["data"]["keys"]


async def test_metadata_wraps_and_unwraps_its_keys(openbao: RunningOpenBao) -> None:
    async with openbao.logged_in(METADATA) as metadata:
        wrapped = await metadata.write("transit/encrypt/bundle-master", {"plaintext": "a2V5"})
        body = {"ciphertext": wrapped["data"]["ciphertext"]}
        unwrapped = await metadata.write("transit/decrypt/bundle-master", body)

    assert unwrapped["data"]["plaintext"] == "a2V5"


async def test_a_service_replaces_its_secret_id_by_itself(openbao: RunningOpenBao) -> None:
    settings = openbao.settings(AUTHCONTROLLER)
    before = settings.secret_id_file.read_text()

    async with open_openbao(settings, AUTHCONTROLLER) as session:
        await renewal_of(session, AUTHCONTROLLER, "a1").replace_secret_id()
    async with openbao.logged_in(AUTHCONTROLLER):
        after = settings.secret_id_file.read_text()
    body = {"role_id": settings.role_id_file.read_text().strip(), "secret_id": before.strip()}
    async with openbao.api() as api:
        with pytest.raises(RequestRefusedError):
            await api.write("auth/approle/login", body)

    assert after != before


def test_secrets_are_for_their_owner_only(openbao: RunningOpenBao) -> None:
    layout = openbao.layout
    secrets = [
        openbao.server.files.unseal_key,
        layout.operator / "identity.seed",
        layout.operator / "openbao-ca-key.pem",
        layout.service(METADATA) / "state" / "identity.seed",
        *(layout.secret_id(role) for role in (METADATA, WATCHER, GATEKEEPER, "operator")),
    ]

    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}


def test_no_root_token_is_left_anywhere(openbao: RunningOpenBao) -> None:
    for path in openbao.layout.root.rglob("*"):
        if path.is_file() and "data" not in path.parts and path.suffix != ".log":
            assert b'"root_token"' not in path.read_bytes(), path


async def test_the_audit_file_can_be_begun_anew_at_any_time(openbao: RunningOpenBao) -> None:
    openbao.server.shift_audit_file()

    async with openbao.logged_in(GATEKEEPER), asyncio.timeout(5):
        while not openbao.server.files.audit_file.exists():
            await asyncio.sleep(0.02)
    async with openbao.logged_in(GATEKEEPER):
        assert b"auth/approle/login" in openbao.server.files.audit_file.read_bytes()


async def test_a_killed_openbao_is_restarted_and_unsealed(openbao: RunningOpenBao) -> None:
    before = openbao.server.child.pid
    async with openbao.api() as api:
        openbao.supervisor.kill("openbao", 9)
        async with asyncio.timeout(15):
            while openbao.server.child.pid == before or await api.health() != 200:
                await asyncio.sleep(0.05)
    async with openbao.logged_in(WATCHER) as session:
        assert session.token is not None
