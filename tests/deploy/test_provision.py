"""Provisioning a real OpenBao that runs with the configuration shipped for containers."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509

from devstack.bootstrap import log_in
from devstack.bootstrap_spec import INTERMEDIATE_MOUNT, ROUTE_MOUNT
from devstack.layout import OPERATOR, SERVICES, Layout
from devstack.openbao_api import open_openbao_api
from devstack.programs import find_openbao
from devstack.provision import (
    NoRootTokenError,
    ProvisionOptions,
    now_utc,
    prepare_files,
    provision,
    widened_spec,
)
from tests.deploy.deployment import MINIKUBE, ROOT

pytestmark = pytest.mark.deploy

TOKEN = re.compile(rb"\bs\.[A-Za-z0-9]{20,}")
NATS_NAME = "nats-0.nats.svc.cluster.local"


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [int(opened.getsockname()[1]) for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout.at(tmp_path / "stack")
    prepare_files(layout, openbao_names=["openbao.example"], now=now_utc())
    return layout


@pytest.fixture
def options(layout: Layout) -> ProvisionOptions:
    return ProvisionOptions(layout, "https://127.0.0.1:1", "testing", nats_names=(NATS_NAME,))


def roles(options: ProvisionOptions) -> Mapping[str, Mapping[str, object]]:
    return widened_spec(options).roles


def test_files_are_private_and_stay(layout: Layout) -> None:
    seal_key = (layout.openbao / "seal.key").read_bytes()
    authority = layout.openbao_ca.read_bytes()

    prepare_files(layout, openbao_names=[], now=now_utc())

    assert len(seal_key) == 32
    assert (layout.openbao / "seal.key").read_bytes() == seal_key
    assert layout.openbao_ca.read_bytes() == authority
    for private in ("openbao/seal.key", "openbao/tls/key.pem", "operator/identity.seed"):
        assert (layout.root / private).stat().st_mode & 0o777 == 0o600


def test_each_replica_of_metadata_is_pinned_and_has_an_identity_of_its_own(layout: Layout) -> None:
    first = (layout.service("metadata") / "state" / "identity.seed").read_bytes()

    prepare_files(layout, openbao_names=[], now=now_utc(), replicas=2)

    second = (layout.service("metadata-2") / "state" / "identity.seed").read_bytes()
    pinned = json.loads(layout.metadata_identities.read_text())
    assert [identity["id"] for identity in pinned["identities"]] == ["metadata-1", "metadata-2"]
    assert (layout.service("metadata") / "state" / "identity.seed").read_bytes() == first
    assert len({first, second}) == 2


def test_the_listeners_certificate_has_the_names_that_were_asked_for(layout: Layout) -> None:
    leaf = x509.load_pem_x509_certificate((layout.openbao / "tls" / "cert.pem").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == ["localhost", "openbao", "openbao.example"]


def test_more_names_are_allowed_to_servers_and_to_nobody_else(options: ProvisionOptions) -> None:
    wider = replace(options, admin_names={"watcher": ("watcher.example",)})

    allowed = {path for path, role in roles(wider).items() if NATS_NAME in str(role)}

    assert allowed == {f"{INTERMEDIATE_MOUNT}/roles/nats-server", f"{ROUTE_MOUNT}/roles/nats-route"}
    assert "watcher.example" in str(roles(wider)[f"{INTERMEDIATE_MOUNT}/roles/watcher-admin"])


def shipped_config(layout: Layout, port: int, cluster_port: int) -> str:
    text = (ROOT / "deploy" / "compose" / "openbao.hcl").read_text()
    for shipped, here in (
        ("/stack/", f"{layout.root}/"),
        ("https://openbao:8200", f"https://127.0.0.1:{port}"),
        ("https://openbao:8201", f"https://127.0.0.1:{cluster_port}"),
        ("0.0.0.0:8200", f"127.0.0.1:{port}"),
        ("0.0.0.0:8201", f"127.0.0.1:{cluster_port}"),
        ('"stdout"', f'"{layout.openbao}/audit.log"'),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    return text


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        str(find_openbao()),
        "server",
        f"-config={config}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
def config(layout: Layout) -> tuple[Path, str]:
    port, cluster_port = free_ports(2)
    path = layout.root / "openbao.hcl"
    path.write_text(shipped_config(layout, port, cluster_port))
    return path, f"https://127.0.0.1:{port}"


@pytest_asyncio.fixture
async def served(
    options: ProvisionOptions, config: tuple[Path, str]
) -> AsyncIterator[ProvisionOptions]:
    async with running(config[0]):
        yield replace(options, url=config[1])


@pytest.mark.integration
async def test_it_is_set_up_once_and_everybody_can_log_in(served: ProvisionOptions) -> None:
    assert await provision(served)
    assert not await provision(served)

    async with open_openbao_api(served.url, served.layout.openbao_ca) as api:
        for role in (*SERVICES, OPERATOR):
            session = await log_in(api, served.layout, role)
            await session.write("auth/token/revoke-self")


@pytest.mark.integration
async def test_a_newer_version_is_set_up_with_the_recovery_key(served: ProvisionOptions) -> None:
    await provision(served)

    changed = await provision(replace(served, nats_names=(NATS_NAME, "nats-9.example")))

    assert changed


@pytest.mark.integration
async def test_without_any_token_it_says_what_is_missing(served: ProvisionOptions) -> None:
    await provision(served)
    (served.layout.operator / "recovery.key").unlink()

    with pytest.raises(NoRootTokenError) as refused:
        await provision(replace(served, profile="production"))

    assert "--token-file" in refused.value.advice


@pytest.mark.integration
async def test_credentials_that_were_given_away_can_be_kept(served: ProvisionOptions) -> None:
    await provision(served)
    given_away = served.layout.secret_id("gatekeeper")
    given_away.write_text("since replaced by its service\n")

    changed = await provision(replace(served, keeps_credentials=True))

    assert not changed
    assert given_away.read_text() == "since replaced by its service\n"


@pytest.mark.integration
async def test_a_restarted_openbao_unseals_itself(
    options: ProvisionOptions, config: tuple[Path, str]
) -> None:
    served = replace(options, url=config[1])
    async with running(config[0]):
        await provision(served)

    async with running(config[0]):
        changed = await provision(served)

    assert not changed


@pytest.mark.integration
async def test_root_tokens_stay_in_memory(served: ProvisionOptions) -> None:
    await provision(served)

    written = [path for path in served.layout.root.rglob("*") if path.is_file()]

    assert written
    assert [path for path in written if TOKEN.search(path.read_bytes())] == []


def test_both_shipped_configurations_close_what_the_other_has_a_reason_to_open() -> None:
    compose = (ROOT / "deploy" / "compose" / "openbao.hcl").read_text()
    minikube = (MINIKUBE / "bases" / "openbao" / "openbao.hcl").read_text()

    assert "disable_unauthed_generate_root_endpoints = true" in minikube
    assert "disable_unauthed_generate_root_endpoints = false" in compose
    for text in (compose, minikube):
        assert 'tls_min_version = "tls13"' in text
        assert 'audit "file"' in text
        assert "tls_disable" not in text
        # The setting itself is what may not be there: every peer is verified.
        assert "tls_skip_verify" not in text
