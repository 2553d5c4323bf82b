"""A replacement of the secret-id, killed at every single effect it has on the world."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.metadata.adapters.accessor_registry import OpenBaoAccessorRegistry
from svc_core.adapters.openbao import open_openbao
from svc_core.config import OpenBaoSettings
from svc_core.domain.identity import GATEKEEPER, METADATA
from tests.integration.bare_stack import RunningOpenBao
from tests.integration.svc_core import killed_replacement
from tests.integration.svc_core.own_approle import claims_of, provide_own_file, replace_secret_id

ROOT = Path(__file__).parents[3]
FEWEST_EFFECTS = 12
"""Seven requests, and a file that is opened, renamed and its directory synced."""
MOST_EFFECTS = 60


async def killed_at(settings: OpenBaoSettings, instance: str, effect: int) -> int:
    """Return the exit code of a process that replaces the secret-id until ``effect``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        killed_replacement.__name__,
        settings.model_dump_json(),
        GATEKEEPER,
        instance,
        str(effect),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'libs'}"},
    )
    return await process.wait()


@asynccontextmanager
async def registry(openbao: RunningOpenBao) -> AsyncIterator[OpenBaoAccessorRegistry]:
    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        yield OpenBaoAccessorRegistry(session)


async def assert_usable(settings: OpenBaoSettings, effect: int) -> str:
    """Log in with what is on disk, as a restart would, and return its accessor."""
    assert settings.secret_id_file.stat().st_mode & 0o777 == 0o600
    async with open_openbao(settings, GATEKEEPER) as session:
        kept = await session.fetch_kept()
    assert kept is not None, f"killed at effect {effect}: what is on disk is dead"
    return kept.accessor


async def test_killed_anywhere_it_starts_again_and_clears_up(
    openbao: RunningOpenBao, tmp_path: Path
) -> None:
    instance = f"killed-{os.getpid()}"
    settings = await provide_own_file(openbao, GATEKEEPER, tmp_path)
    effect, ended = 0, -signal.SIGKILL
    async with registry(openbao) as accessors:
        while ended == -signal.SIGKILL and effect < MOST_EFFECTS:
            before = await accessors.fetch_accessors(GATEKEEPER)
            kept_before = await assert_usable(settings, effect)
            effect += 1

            ended = await killed_at(settings, instance, effect)

            await assert_usable(settings, effect)
            await replace_secret_id(settings, GATEKEEPER, instance)
            kept = await assert_usable(settings, effect)
            left = await accessors.fetch_accessors(GATEKEEPER) - before | {kept_before}
            async with open_openbao(settings, GATEKEEPER) as session:
                claimed = await claims_of(session, GATEKEEPER, instance).fetch()
            assert claimed == {kept}
            # What was made and not yet claimed is nobody's, and the janitor's to destroy.
            alive = left & await accessors.fetch_accessors(GATEKEEPER)
            assert len(alive - {kept}) <= 1, f"killed at effect {effect}"
            for stray in alive - {kept}:
                await accessors.destroy(GATEKEEPER, stray)

    assert ended == 0
    assert effect > FEWEST_EFFECTS
    assert [path.name for path in tmp_path.iterdir()] == ["secret_id"]
