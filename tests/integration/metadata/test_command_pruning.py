"""Orders and results that ended long ago are removed from a real OpenBao, versions and all."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from services.metadata.flows.command_pruning import KEPT, CommandPruner
from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.system_clock import SystemClock
from svc_core.domain.identity import METADATA, OPERATOR
from svc_core.domain.operator_command import (
    COMMANDS_PATH,
    RESULTS_PATH,
    CommandResult,
    CommandState,
)
from svc_core.errors import NotFoundError
from svc_core.wire import operator_command
from tests.builders import make_surroundings
from tests.integration.bare_stack import RunningOpenBao

MINUTE = timedelta(minutes=1)


async def leave(openbao: RunningOpenBao, name: str) -> None:
    async with openbao.logged_in(OPERATOR) as operator:
        await operator.write(f"secret/data/{COMMANDS_PATH}/{name}", {"data": {"any": "order"}})


async def is_gone(openbao: RunningOpenBao, path: str) -> bool:
    """Say whether not even a destroyed version of ``path`` is known any more."""
    async with openbao.logged_in(METADATA) as session:
        try:
            await session.read(f"secret/metadata/{path}")
        except NotFoundError:
            return True
    return False


@pytest.mark.parametrize(
    ("age", "remains"),
    [
        pytest.param(KEPT + MINUTE, False, id="ended long ago"),
        pytest.param(KEPT - MINUTE, True, id="ended lately"),
    ],
)
async def test_metadata_may_remove_what_ended_long_ago(
    openbao: RunningOpenBao, age: timedelta, remains: bool
) -> None:
    name = f"pruned-{json.dumps(remains)}"
    await leave(openbao, name)
    begun = CommandResult(name, CommandState.BEGUN, "metadata-1", datetime.now(UTC))
    done = CommandResult(name, CommandState.DONE, "metadata-1", datetime.now(UTC) - age)

    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        store = OpenBaoSecretStore(session)
        for version, result in enumerate((begun, done)):
            await store.store(
                f"{RESULTS_PATH}/{name}",
                operator_command.encode_result(result),
                expected_version=version,
            )
        pruner = CommandPruner(store, lambda: True, make_surroundings(SystemClock()))
        await pruner.prune()

    for folder in (COMMANDS_PATH, RESULTS_PATH):
        assert await is_gone(openbao, f"{folder}/{name}") is not remains
