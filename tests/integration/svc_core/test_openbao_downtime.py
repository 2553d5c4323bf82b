"""Lives that end: of a secret-id while its service sleeps, and of a token while it works."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import hvac
import pytest

from svc_core.adapters.files import write_private
from svc_core.adapters.openbao import OpenBaoSession, open_openbao
from svc_core.adapters.openbao_errors import CredentialRefusedError
from svc_core.config import OpenBaoSettings
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from tests.integration.background import in_background
from tests.integration.bare_stack import RunningOpenBao
from tests.integration.svc_core.own_approle import (
    ProvisionedOpenBao,
    open_provisioned,
    provide_own_file,
    renewal_of,
    replace_secret_id,
)

TOLERATED: Final = timedelta(seconds=3)
TOKEN_LIFE: Final = timedelta(seconds=2)
LONGEST_TOKEN_LIFE: Final = timedelta(seconds=3)
PATIENCE_S: Final = 10
ROLE: Final = f"auth/approle/role/{GATEKEEPER}"
INSTANCE: Final = "g1"


@pytest.fixture(scope="module")
def provisioned(server_root: Path) -> Iterator[ProvisionedOpenBao]:
    """Short lives: of gatekeeper's secret-ids (not the provisioned), of authcontroller's tokens."""
    lives = {
        str(GATEKEEPER): {"secret_id_ttl": _seconds(TOLERATED)},
        str(AUTHCONTROLLER): {
            "token_ttl": _seconds(TOKEN_LIFE),
            "token_max_ttl": _seconds(LONGEST_TOKEN_LIFE),
        },
    }
    root = server_root / "downtime"
    with in_background(lambda: open_provisioned(root, GATEKEEPER, lives)) as running:
        yield running


def _seconds(life: timedelta) -> str:
    return f"{int(life.total_seconds())}s"


async def kept_is_known(openbao: RunningOpenBao, settings: OpenBaoSettings) -> bool:
    """Ask OpenBao about the secret-id on disk, under another session of the same service."""
    async with openbao.logged_in(GATEKEEPER) as session:
        secret_id = settings.secret_id_file.read_text().strip()
        found = await session.write(f"{ROLE}/secret-id/lookup", {"secret_id": secret_id})
    return bool(found.get("data"))


async def test_a_service_starts_within_the_tolerated_down_time_and_says_what_to_do_after_it(
    provisioned: ProvisionedOpenBao, tmp_path: Path
) -> None:
    openbao = provisioned.openbao
    settings = await provide_own_file(openbao, GATEKEEPER, tmp_path)
    await replace_secret_id(settings, GATEKEEPER, INSTANCE)

    async with open_openbao(settings, GATEKEEPER) as within:
        await within.login()

    async with asyncio.timeout(PATIENCE_S):
        while await kept_is_known(openbao, settings):
            await asyncio.sleep(0.1)
    async with open_openbao(settings, GATEKEEPER) as late:
        with pytest.raises(CredentialRefusedError) as refusal:
            await late.login()
        assert str(settings.secret_id_file) in str(refusal.value)
        assert "written 20" in str(refusal.value)
        assert "secret_id_ttl" in refusal.value.advice

        write_private(settings.secret_id_file, provisioned.secret_id.encode())

        await late.login()


def is_alive(client: hvac.Client) -> bool:
    try:
        client.auth.token.lookup_self()
    except hvac.exceptions.Forbidden:
        return False
    return True


async def collect_tokens(session: OpenBaoSession) -> list[str]:
    """Look at the session's token all the time, until it was replaced twice."""
    seen: list[str] = []
    while len(seen) < 3:
        client = await session.login()
        alive = await asyncio.to_thread(is_alive, client)
        assert alive or await session.login() is not client, "a token ended while in use"
        if client.token not in seen:
            seen.append(client.token)
        await asyncio.sleep(0.05)
    return seen


async def test_a_token_is_renewed_at_half_life_and_replaced_before_its_longest_life_ends(
    provisioned: ProvisionedOpenBao, tmp_path: Path
) -> None:
    openbao = provisioned.openbao
    settings = await provide_own_file(openbao, AUTHCONTROLLER, tmp_path)
    loop = asyncio.get_running_loop()
    async with open_openbao(settings, AUTHCONTROLLER) as session, asyncio.TaskGroup() as group:
        renewal = group.create_task(renewal_of(session, AUTHCONTROLLER, "a1").run())
        began = loop.time()
        async with asyncio.timeout(PATIENCE_S):
            await collect_tokens(session)
        took_s = loop.time() - began
        renewal.cancel()

    # Replaced at half-life each time it would be two seconds; a renewal makes it live longer.
    assert took_s > TOKEN_LIFE.total_seconds()
