"""A mint that dies at any request leaves what the next attempt finishes, and nothing to spare."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

import pytest

from devstack.openbao_api import OpenBaoApi
from services.metadata.adapters.issuer_mint import OpenBaoIssuerMint
from services.metadata.adapters.pki_engine import PkiEngine
from svc_core.adapters.openbao import OpenBaoSession, open_openbao
from svc_core.adapters.system_clock import SystemClock
from svc_core.domain.identity import METADATA
from svc_core.errors import NotFoundError
from tests.integration.bare_stack import PROFILE, RunningOpenBao

ROOT: Final = "root"
WRITES: Final = 8
"""Key, signature, import and name, for connections and for routes."""
DEATHS: Final = 3
MOUNTS: Final = ("nats_int", "nats_route")


class DyingError(Exception):
    """In place of the end of the process."""


class DyingEngine(PkiEngine):
    """Carries a number of writes out and does not live to hear of the last one."""

    def __init__(self, session: OpenBaoSession, writes: int) -> None:
        super().__init__(session)
        self._left = writes

    async def write(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Write, and die if it was the last time."""
        answer = await super().write(path, body)
        self._left -= 1
        if self._left == 0:
            raise DyingError
        return answer


_epochs = count(9001)


@pytest.mark.parametrize("writes", range(1, WRITES + 1))
async def test_dead_again_and_again_after_the_same_request_it_leaves_nothing_to_spare(
    openbao: RunningOpenBao, writes: int
) -> None:
    name = f"ca-{next(_epochs)}-1"
    async with minting(openbao) as (session, api):
        for _ in range(DEATHS):
            try:
                await mint(DyingEngine(session, writes)).mint(name, ROOT)
            except DyingError:
                assert await most_of_a_key(api, name) <= 1
        made = await mint(PkiEngine(session)).mint(name, ROOT)

        again = await mint(PkiEngine(session)).mint(name, ROOT)
        assert again == made
        for mount in MOUNTS:
            assert await of_key(api, mount, name) == [name]
        await mint(PkiEngine(session)).remove(name)
        assert await most_of_a_key(api, name) == 0


def mint(engine: PkiEngine) -> OpenBaoIssuerMint:
    return OpenBaoIssuerMint(engine, PROFILE, SystemClock())


@asynccontextmanager
async def minting(openbao: RunningOpenBao) -> AsyncIterator[tuple[OpenBaoSession, OpenBaoApi]]:
    async with (
        open_openbao(openbao.settings(METADATA), METADATA) as session,
        openbao.logged_in(METADATA) as api,
    ):
        yield session, api


async def most_of_a_key(api: OpenBaoApi, name: str) -> int:
    """Return how many issuers the key called ``name`` has, in the mount where it has most."""
    return max([len(await of_key(api, mount, name)) for mount in MOUNTS])


async def of_key(api: OpenBaoApi, mount: str, name: str) -> list[str]:
    """Return the names of the issuers with the key called ``name``; unnamed ones have none."""
    keys = await listed(api, f"{mount}/keys")
    ids = {key_id for key_id, facts in keys.items() if facts["key_name"] == name}
    found = []
    for issuer_id, facts in (await listed(api, f"{mount}/issuers")).items():
        issuer = (await api.read(f"{mount}/issuer/{issuer_id}"))["data"]
        if issuer["key_id"] in ids:
            found.append(str(facts["issuer_name"]))
    return found


async def listed(api: OpenBaoApi, path: str) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = (await api.call("LIST", path))["data"]["key_info"]
    except NotFoundError:
        return {}
    return found
