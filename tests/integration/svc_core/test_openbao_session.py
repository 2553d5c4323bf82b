"""The session with a real OpenBao: what is refused and as what, and how credentials change."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import hvac
import pytest

from svc_core.adapters.files import write_private
from svc_core.adapters.openbao import OpenBaoSession, open_openbao
from svc_core.adapters.openbao_errors import (
    CredentialNotKeptError,
    LoginUnansweredError,
    NotExecutedError,
)
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.openbao_leaves import OpenBaoCertificateIssuer
from svc_core.config import OpenBaoSettings
from svc_core.crypto.certificates import certificate_request, new_leaf_key
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA
from svc_core.errors import (
    AccessDeniedError,
    ConfigError,
    NotFoundError,
    SecretStoreError,
    StaleWriteError,
)
from svc_core.ports.certificates import LeafRequest
from tests.integration.bare_stack import DEPLOYMENT, ReachableOpenBao, RunningOpenBao
from tests.integration.svc_core.own_approle import provide_own_file, renewal_of
from tests.tls_materials import new_issuer

KEYS = f"transport/keys/test-{os.getpid()}"
INSTANCE = f"session-{os.getpid()}"


@asynccontextmanager
async def store_of(openbao: ReachableOpenBao, role: str) -> AsyncIterator[OpenBaoSecretStore]:
    async with open_openbao(openbao.settings(role), role) as session:
        yield OpenBaoSecretStore(session)


@pytest.fixture
async def store(openbao: RunningOpenBao) -> AsyncIterator[OpenBaoSecretStore]:
    async with store_of(openbao, METADATA) as metadata:
        yield metadata
        await metadata.remove(KEYS)


@pytest.fixture
async def own_credentials(openbao: RunningOpenBao, tmp_path: Path) -> OpenBaoSettings:
    """Settings of a gatekeeper whose secret-id file is this test's own."""
    return await provide_own_file(openbao, GATEKEEPER, tmp_path)


async def test_an_instance_registers_once_and_replaces_nobody(openbao: RunningOpenBao) -> None:
    path = f"identities/{GATEKEEPER}/once-{os.getpid()}"
    async with store_of(openbao, GATEKEEPER) as gatekeeper:
        await gatekeeper.store(path, {"public": "mine"}, expected_version=0)

        with pytest.raises((AccessDeniedError, StaleWriteError)):
            await gatekeeper.store(path, {"public": "another"}, expected_version=None)

        found = await gatekeeper.fetch(path)
        assert found is not None
        assert found.data == {"public": "mine"}


@pytest.mark.parametrize(
    "path", ["transport/journal", "transport/keys/1", f"identities/{AUTHCONTROLLER}/x"]
)
async def test_other_peoples_paths_are_denied(openbao: RunningOpenBao, path: str) -> None:
    async with store_of(openbao, GATEKEEPER) as gatekeeper:
        with pytest.raises(AccessDeniedError):
            await gatekeeper.fetch(path)
        with pytest.raises(AccessDeniedError):
            await gatekeeper.store(path, {}, expected_version=None)


async def test_an_issuer_that_is_gone_is_not_found(openbao: RunningOpenBao) -> None:
    key = new_leaf_key(os.urandom)
    csr = certificate_request(key, uris=[DEPLOYMENT.spiffe_id(GATEKEEPER)])
    request = LeafRequest("nats_int", "ca-0-0", GATEKEEPER, csr, timedelta(minutes=1))
    async with open_openbao(openbao.settings(GATEKEEPER), GATEKEEPER) as session:
        with pytest.raises(NotFoundError):
            await OpenBaoCertificateIssuer(session).sign_leaf(request)


async def test_a_token_that_ended_is_replaced_by_a_new_login(store: OpenBaoSecretStore) -> None:
    await store.store(KEYS, {"n": 1}, expected_version=0)
    client = await store._session.login()
    await asyncio.to_thread(client.auth.token.revoke_self)

    found = await store.fetch(KEYS)

    assert found is not None
    assert (await store._session.login()).token != client.token


async def test_many_callers_with_an_ended_token_log_in_once(
    openbao: RunningOpenBao,
) -> None:
    async with open_openbao(openbao.settings(GATEKEEPER), GATEKEEPER) as session:
        client = await session.login()
        await asyncio.to_thread(client.auth.token.revoke_self)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(session.call(token_in_use)) for _ in range(8)]

        assert len({call.result() for call in calls}) == 1


def token_in_use(client: hvac.Client) -> str:
    """Return the client's token, after OpenBao has accepted it."""
    client.auth.token.lookup_self()
    return str(client.token)


def is_accepted(settings: OpenBaoSettings, secret_id: str) -> bool:
    """Say whether OpenBao lets a gatekeeper in with ``secret_id``."""
    client = hvac.Client(url=settings.url, verify=str(settings.ca_file))
    role_id = settings.role_id_file.read_text().strip()
    try:
        client.auth.approle.login(role_id=role_id, secret_id=secret_id)
    except hvac.exceptions.InvalidRequest:
        return False
    return True


async def test_a_rotated_secret_id_works_is_on_disk_and_the_old_one_is_dead(
    own_credentials: OpenBaoSettings,
) -> None:
    old = own_credentials.secret_id_file.read_text().strip()
    async with open_openbao(own_credentials, GATEKEEPER) as session:
        old_token = await session.call(token_in_use)
        await renewal_of(session, GATEKEEPER, INSTANCE).replace_secret_id()
        new_token = await session.call(token_in_use)

        kept = own_credentials.secret_id_file.read_text().strip()
        assert kept != old
        assert (is_accepted(own_credentials, kept), is_accepted(own_credentials, old)) == (
            True,
            False,
        )
        assert new_token != old_token
        stale = hvac.Client(
            url=own_credentials.url, verify=str(own_credentials.ca_file), token=old_token
        )
        with pytest.raises(hvac.exceptions.Forbidden):
            stale.auth.token.lookup_self()
    assert own_credentials.secret_id_file.stat().st_mode & 0o777 == 0o600


async def test_a_rotation_that_cannot_write_leaves_the_old_one_alive_and_on_disk(
    own_credentials: OpenBaoSettings,
) -> None:
    file = own_credentials.secret_id_file
    old = file.read_text().strip()
    async with open_openbao(own_credentials, GATEKEEPER) as session:
        # A directory where the new file is prepared stands in for a disk that takes nothing.
        obstacle = file.with_name(f".{file.name}.{os.getpid()}")
        obstacle.mkdir()
        with pytest.raises(CredentialNotKeptError, match=r"(?i)directory"):
            await renewal_of(session, GATEKEEPER, INSTANCE).replace_secret_id()
        obstacle.rmdir()

        assert file.read_text().strip() == old
        assert is_accepted(own_credentials, old)
        await renewal_of(session, GATEKEEPER, INSTANCE).replace_secret_id()

    assert not is_accepted(own_credentials, old)


async def test_rotating_again_and_again_leaves_one_that_works(
    own_credentials: OpenBaoSettings,
) -> None:
    async with open_openbao(own_credentials, GATEKEEPER) as session:
        for _ in range(3):
            await renewal_of(session, GATEKEEPER, INSTANCE).replace_secret_id()
        await session.call(token_in_use)

    assert is_accepted(own_credentials, own_credentials.secret_id_file.read_text().strip())


async def test_a_live_session_puts_a_removed_secret_id_back(
    own_credentials: OpenBaoSettings,
) -> None:
    async with open_openbao(own_credentials, GATEKEEPER) as session:
        await session.login()
        own_credentials.secret_id_file.unlink()

        await renewal_of(session, GATEKEEPER, INSTANCE).replace_secret_id()

    assert is_accepted(own_credentials, own_credentials.secret_id_file.read_text().strip())


async def test_what_a_killed_process_had_prepared_is_removed(
    own_credentials: OpenBaoSettings,
) -> None:
    file = own_credentials.secret_id_file
    left_over, unrelated = (file.with_name(f".{file.name}.{end}") for end in ("99999", "d"))
    for path in (left_over, unrelated):
        write_private(path, b"half a secret-id")

    async with open_openbao(own_credentials, GATEKEEPER) as session:
        await renewal_of(session, GATEKEEPER, INSTANCE).replace_secret_id()

    assert (left_over.exists(), unrelated.exists()) == (False, True)


async def test_a_secret_id_that_is_none_is_denied(own_credentials: OpenBaoSettings) -> None:
    write_private(own_credentials.secret_id_file, b"00000000-0000-0000-0000-000000000000")
    async with open_openbao(own_credentials, GATEKEEPER) as session:
        with pytest.raises(AccessDeniedError, match="refused the AppRole"):
            await session.call(token_in_use)


async def test_missing_credentials_are_a_mistake_in_the_configuration(
    own_credentials: OpenBaoSettings,
) -> None:
    own_credentials.secret_id_file.unlink()
    async with open_openbao(own_credentials, GATEKEEPER) as session:
        with pytest.raises(ConfigError, match="secret_id"):
            await session.call(token_in_use)


async def test_leaving_revokes_the_token(openbao: RunningOpenBao) -> None:
    settings = openbao.settings(GATEKEEPER)
    async with open_openbao(settings, GATEKEEPER) as session:
        token = await session.call(token_in_use)

    client = hvac.Client(url=settings.url, verify=str(settings.ca_file), token=token)
    with pytest.raises(hvac.exceptions.Forbidden):
        client.auth.token.lookup_self()


async def _read(session: OpenBaoSession, *, idempotent: bool) -> None:
    await session.call(lambda c: c.read("secret/data/x"), idempotent=idempotent)


async def test_a_server_that_never_answers_is_given_up_in_time(openbao: RunningOpenBao) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = openbao.settings(GATEKEEPER).model_copy(
            update={
                "url": f"https://127.0.0.1:{silent.getsockname()[1]}",
                "timeout": timedelta(seconds=0.3),
            }
        )
        loop = asyncio.get_running_loop()
        async with open_openbao(settings, GATEKEEPER) as session:
            began = loop.time()
            with pytest.raises(SecretStoreError):
                await _read(session, idempotent=False)
            once_s = loop.time() - began
            with pytest.raises(LoginUnansweredError):
                await _read(session, idempotent=True)

    # A login is not repeated blindly, not even for the sake of a read.
    assert once_s < 1.5
    assert loop.time() - began < 3


async def test_a_server_that_is_gone_is_an_error_to_retry(openbao: RunningOpenBao) -> None:
    settings = openbao.settings(GATEKEEPER).model_copy(update={"url": "https://127.0.0.1:1"})
    async with open_openbao(settings, GATEKEEPER) as session:
        with pytest.raises(NotExecutedError, match="out of reach"):
            await _read(session, idempotent=False)


async def test_a_server_of_another_ca_is_not_talked_to(
    openbao: RunningOpenBao, tmp_path: Path
) -> None:
    stranger = tmp_path / "ca.pem"
    settings = openbao.settings(GATEKEEPER)
    stranger.write_text(new_issuer().pem)
    async with open_openbao(
        settings.model_copy(update={"ca_file": stranger}), GATEKEEPER
    ) as session:
        with pytest.raises(SecretStoreError, match="SSLError"):
            await _read(session, idempotent=False)


async def test_slow_calls_do_not_hold_up_the_loop(openbao: RunningOpenBao) -> None:
    loop = asyncio.get_running_loop()
    longest = 0.0
    async with (
        open_openbao(openbao.settings(METADATA), METADATA) as session,
        asyncio.TaskGroup() as group,
    ):
        calls = [group.create_task(session.call(token_in_use)) for _ in range(20)]
        while not all(call.done() for call in calls):
            before = loop.time()
            await asyncio.sleep(0.005)
            longest = max(longest, loop.time() - before)

    assert longest < 1.0
