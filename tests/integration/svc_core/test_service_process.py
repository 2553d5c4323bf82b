"""A service as a process: what it says when it cannot start, and how it ends when told to."""

import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from devstack.conditions import wait_until
from devstack.endpoints import port_of
from devstack.services import ServicePlan, write_configuration
from svc_core.crypto import contexts
from svc_core.crypto.certificates import not_after
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.desired import DesiredState, TrustedIssuer
from svc_core.domain.identity import AUTHCONTROLLER, METADATA
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import DESIRED_PATH
from svc_core.flows.statements import Author
from svc_core.wire import desired as desired_wire
from svc_core.wire import documents
from tests.integration.background import complete, in_background
from tests.integration.bare_stack import (
    DEPLOYMENT,
    GRANTS,
    ISSUER,
    PROFILE,
    RunningOpenBao,
    make_intermediate,
    open_bare_openbao,
)

PROJECT: Final = Path(__file__).parents[3]
STARTS_WITHIN: Final = timedelta(seconds=20)
STOPS_WITHIN_S: Final = 10


@pytest.fixture(scope="module")
def authority(server_root: Path, request: pytest.FixtureRequest) -> Iterator[RunningOpenBao]:
    """An OpenBao of this module's own that holds a signed state of the profile ``testing``."""
    root = server_root / request.module.__name__.rpartition(".")[2]
    with in_background(lambda: open_bare_openbao(root)) as openbao:
        complete(lambda: say_what_is_desired(openbao))
        yield openbao


async def say_what_is_desired(openbao: RunningOpenBao) -> None:
    async with openbao.logged_in(METADATA) as metadata:
        pem = await make_intermediate(metadata, "nats_int", ISSUER)
        route_pem = await make_intermediate(metadata, "nats_route", ISSUER)
        state = DesiredState(
            version=1,
            profile=PROFILE.name,
            active=ISSUER,
            issuers=(TrustedIssuer(ISSUER, 1, pem, route_pem, not_after(pem)),),
            root_pem=pem,
            grants=GRANTS,
            kicked_issuers=(),
            made_at=datetime.now(UTC),
        )
        seed = (openbao.layout.service(METADATA) / "state" / "identity.seed").read_bytes()
        author = Author("metadata-1", Signer.from_seed(Algorithm.ML_DSA_87, SecretBytes(seed)))
        document = await author.sign(desired_wire.encode(state), context=contexts.DESIRED_STATE)
        entry = {"data": documents.encode_entry(document)}
        await metadata.write(f"secret/data/{DESIRED_PATH}", entry)


def configuration(openbao: RunningOpenBao, *, profile: str) -> Path:
    plan = ServicePlan(
        openbao.layout, replace(openbao.endpoints, profile=profile), DEPLOYMENT, replicas=1
    )
    return write_configuration(plan, AUTHCONTROLLER)


@contextmanager
def service(config: Path) -> Iterator[subprocess.Popen[str]]:
    """Run AuthController as a process and make sure that it ends."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "services.authcontroller.main", "--config", str(config)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(PROJECT / "libs"), str(PROJECT)]),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def refusal(config: Path) -> str:
    """Return the one line a service says that cannot start as it is configured."""
    with service(config) as process:
        _, said = process.communicate(timeout=STARTS_WITHIN.total_seconds())
    assert process.returncode == 2, said
    assert said.count("\n") == 1, said
    return said


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = refusal(tmp_path / "nowhere.yaml")

    assert said.startswith("authcontroller: ")
    assert "nowhere.yaml" in said
    assert said.endswith("[config.invalid]\n")


def test_another_profile_than_the_authoritys_is_refused_naming_both(
    authority: RunningOpenBao,
) -> None:
    said = refusal(configuration(authority, profile="demo"))

    assert "'demo' here but 'testing' at the authority" in said
    assert "set the same `profile`" in said
    assert said.endswith("[config.profile_mismatch]\n")


def test_credentials_that_are_not_there_are_named(authority: RunningOpenBao) -> None:
    config = configuration(authority, profile=PROFILE.name)
    config.write_text(config.read_text().replace("/role_id", "/no_role_id"))

    assert "no_role_id" in refusal(config)


def test_an_admin_port_that_is_taken_is_named(authority: RunningOpenBao) -> None:
    config = configuration(authority, profile=PROFILE.name)
    port = port_of(authority.endpoints.admin[AUTHCONTROLLER])
    with socket.create_server(("127.0.0.1", port)):
        said = refusal(config)

    assert f"127.0.0.1:{port}" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_stop_ends_it_with_0_also_while_nats_is_away(
    authority: RunningOpenBao, number: int
) -> None:
    port = port_of(authority.endpoints.admin[AUTHCONTROLLER])
    with service(configuration(authority, profile=PROFILE.name)) as process:

        async def it_listens() -> None:
            await wait_until(
                lambda: is_up(port), within=STARTS_WITHIN, part=lambda: "its admin port"
            )

        complete(it_listens)
        process.send_signal(number)
        _, said = process.communicate(timeout=STOPS_WITHIN_S)

    assert (process.returncode, said) == (0, "")


async def is_up(port: int) -> bool:
    """Say whether something shakes hands on ``port``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Only whether it listens yet is asked; whom it proves to be is the listener's own tests.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=1) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except OSError:
        return False
