"""The files of a server: whole, the same for the same wishes, and named by their digest."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.watcher.domain.server_files import (
    ServerCertificates,
    digest,
    server_files,
    trust_files,
)
from svc_core.domain.desired import TopicGrant, TrustMode
from svc_core.domain.identity import GATEKEEPER, Deployment
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import AUTH_REQUEST
from svc_core.domain.tls import TlsMaterial
from tests.builders import NOW, make_desired

DEPLOYMENT = Deployment()


def material(label: str) -> TlsMaterial:
    key = SecretBytes(f"key of {label}\n".encode())
    return TlsMaterial(f"chain of {label}\n", key, "trust\n", "ca-100-1", NOW, NOW, NOW)


CERTIFICATES = ServerCertificates(material("server"), material("route"))
DESIRED = make_desired()
FILES = server_files(DESIRED, CERTIFICATES, DEPLOYMENT)


def test_a_server_gets_both_trust_files_both_pairs_and_its_permissions() -> None:
    assert {name: FILES[name] for name in FILES if name != "accounts.conf"} == {
        "ca.pem": b"pem 101\npem 100\n",
        "route-ca.pem": b"route 101\nroute 100\n",
        "server.pem": b"chain of server\n",
        "server-key.pem": b"key of server\n",
        "route.pem": b"chain of route\n",
        "route-key.pem": b"key of route\n",
    }
    assert DEPLOYMENT.spiffe_id(GATEKEEPER).encode() in FILES["accounts.conf"]


def test_in_mode_chain_servers_trust_the_roots_besides_but_never_in_routes() -> None:
    files = server_files(replace(DESIRED, trust_mode=TrustMode.CHAIN), CERTIFICATES, DEPLOYMENT)

    assert files["ca.pem"] == b"pem 101\npem 100\nroot\n"
    assert files["route-ca.pem"] == FILES["route-ca.pem"]


def test_the_tag_is_the_digest_of_the_set_without_the_tag() -> None:
    tag, _, accounts = FILES["accounts.conf"].partition(b"\n")

    assert (
        tag.decode() == f'server_tags: ["material:{digest({**FILES, "accounts.conf": accounts})}"]'
    )


def test_the_same_wishes_give_the_same_files() -> None:
    later = replace(DESIRED, version=99, kicked_issuers=(), root_pem="another root\n")

    assert server_files(later, CERTIFICATES, DEPLOYMENT) == FILES


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(replace(DESIRED, issuers=DESIRED.issuers[1:]), id="less trust"),
        pytest.param(
            replace(DESIRED, grants={GATEKEEPER: TopicGrant((AUTH_REQUEST,), ())}),
            id="other permissions",
        ),
    ],
)
def test_other_wishes_give_another_tag(changed: object) -> None:
    assert isinstance(changed, type(DESIRED))
    other = server_files(changed, CERTIFICATES, DEPLOYMENT)

    assert other["accounts.conf"].split(b"\n")[0] != FILES["accounts.conf"].split(b"\n")[0]


@pytest.mark.parametrize("which", ["server", "route"])
def test_another_certificate_gives_another_tag(which: str) -> None:
    other = replace(CERTIFICATES, **{which: material("renewed")})

    files = server_files(DESIRED, other, DEPLOYMENT)

    assert files["accounts.conf"].split(b"\n")[0] != FILES["accounts.conf"].split(b"\n")[0]


def test_the_trust_directory_holds_intermediates_and_root_apart() -> None:
    assert trust_files(DESIRED) == {"ca.pem": b"pem 101\npem 100\n", "root.pem": b"root\n"}


file_sets = st.dictionaries(st.text(max_size=4), st.binary(max_size=4), max_size=3)


@given(file_sets)
def test_the_digest_does_not_depend_on_the_order(files: dict[str, bytes]) -> None:
    assert digest(dict(reversed(files.items()))) == digest(files)


@given(file_sets, file_sets)
def test_other_files_have_another_digest(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (digest(one) == digest(other)) == (one == other)


def test_no_two_ways_to_cut_the_same_bytes_are_alike() -> None:
    assert digest({"a": b"bc"}) != digest({"ab": b"c"})
    assert digest({"a": b"", "b": b""}) != digest({"a": b"b"})
