"""Metadata's policy is enough to end a service's secret-ids and tokens in a real OpenBao."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from devstack.bootstrap import log_in
from services.metadata.adapters.accessor_registry import OpenBaoAccessorRegistry
from services.metadata.adapters.token_registry import OpenBaoTokenRegistry
from services.metadata.flows.access_ending import AccessEnding, Ended
from svc_core.adapters.openbao import open_openbao
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA
from svc_core.errors import AccessDeniedError
from tests.integration.background import in_background
from tests.integration.bare_stack import RunningOpenBao, open_bare_openbao

REFUSED_LOGINS = 8
"""More than OpenBao's own lock would bear."""


@pytest.fixture
def openbao(server_root: Path) -> Iterator[RunningOpenBao]:
    with in_background(lambda: open_bare_openbao(server_root / "ending")) as running:
        yield running


async def test_a_service_loses_every_way_in_and_the_others_keep_theirs(
    openbao: RunningOpenBao,
) -> None:
    async with AsyncExitStack() as resources:
        api = await resources.enter_async_context(openbao.api())
        tokens = [await log_in(api, openbao.layout, GATEKEEPER) for _ in range(3)]
        other = await log_in(api, openbao.layout, AUTHCONTROLLER)
        session = await resources.enter_async_context(
            open_openbao(openbao.settings(METADATA), METADATA)
        )
        ending = AccessEnding(OpenBaoAccessorRegistry(session), OpenBaoTokenRegistry(session))

        ended = await ending.end(GATEKEEPER)

        assert ended == Ended(secret_ids=1, tokens=3)
        for token in tokens:
            with pytest.raises(AccessDeniedError):
                await token.read("auth/token/lookup-self")
        for _ in range(REFUSED_LOGINS):
            with pytest.raises(AccessDeniedError):
                await log_in(api, openbao.layout, GATEKEEPER)
        assert (await other.read("auth/token/lookup-self"))["data"]
        assert await ending.end(GATEKEEPER) == Ended(0, 0)
        await _give_another_secret_id(openbao)
        # Not shut out by what was refused before: who was let back in can come in.
        back = await log_in(api, openbao.layout, GATEKEEPER)
        assert (await back.read("auth/token/lookup-self"))["data"]


async def _give_another_secret_id(openbao: RunningOpenBao) -> None:
    async with openbao.api() as api:
        token = await openbao.server.make_root_token(api)
        root = api.with_token(token)
        made = await root.write(f"auth/approle/role/{GATEKEEPER}/secret-id")
        openbao.layout.secret_id(GATEKEEPER).write_text(made["data"]["secret_id"])
        await root.write("auth/token/revoke-self")
