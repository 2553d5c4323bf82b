"""The janitor with a real OpenBao, some hours ahead of everybody: no grace protects anyone."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.metadata.adapters.accessor_registry import OpenBaoAccessorRegistry
from services.metadata.flows.accessor_janitor import UNCLAIMED, AccessorJanitor
from svc_core.adapters.files import write_private
from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_errors import CredentialRefusedError
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.config import OpenBaoSettings
from svc_core.domain.claims import claim_path
from svc_core.domain.identity import GATEKEEPER, METADATA, instance_name
from svc_core.domain.profiles import PROFILES
from svc_core.runtime.health import Health
from svc_core.runtime.surroundings import Surroundings
from tests.builders import SUITE
from tests.integration.background import in_background
from tests.integration.bare_stack import RunningOpenBao
from tests.integration.svc_core.own_approle import (
    PERIOD,
    ProvisionedOpenBao,
    open_provisioned,
    provide_own_file,
    replace_secret_id,
)


class HoursAhead(SystemClock):
    """Ten hours later than it is."""

    def now(self) -> datetime:
        return super().now() + timedelta(hours=10)


@pytest.fixture(scope="module")
def provisioned(server_root: Path) -> Iterator[ProvisionedOpenBao]:
    """An OpenBao whose gatekeepers are only those of this module."""
    root = server_root / "janitor"
    with in_background(lambda: open_provisioned(root, GATEKEEPER, {})) as running:
        yield running


@pytest.fixture(scope="module")
def openbao(provisioned: ProvisionedOpenBao) -> RunningOpenBao:
    return provisioned.openbao


@pytest.fixture
def metrics() -> CollectorRegistry:
    return CollectorRegistry()


@asynccontextmanager
async def open_janitor(
    openbao: RunningOpenBao, metrics: CollectorRegistry
) -> AsyncIterator[AccessorJanitor]:
    clock = HoursAhead()
    around = Surroundings(clock, system_entropy, PROFILES["demo"], Health(clock), SUITE)
    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        yield AccessorJanitor(
            OpenBaoAccessorRegistry(session),
            OpenBaoSecretStore(session),
            [GATEKEEPER],
            PERIOD,
            around,
            metrics,
        )


async def start_instance(openbao: RunningOpenBao, root: Path, name: str) -> OpenBaoSettings:
    """Run an instance until its first replacement."""
    folder = root / name
    folder.mkdir()
    settings = await provide_own_file(openbao, GATEKEEPER, folder)
    await replace_secret_id(settings, GATEKEEPER, name)
    return settings


async def assert_logs_in(settings: OpenBaoSettings) -> None:
    async with open_openbao(settings, GATEKEEPER) as session:
        await session.login()


async def test_only_what_nobody_claims_is_destroyed(
    provisioned: ProvisionedOpenBao, metrics: CollectorRegistry, tmp_path: Path
) -> None:
    openbao = provisioned.openbao
    one, two = [await start_instance(openbao, tmp_path, name) for name in ("g1", "g2")]
    waiting = one.model_copy(update={"secret_id_file": tmp_path / "never-started"})
    write_private(waiting.secret_id_file, provisioned.secret_id.encode())
    stolen = one.model_copy(update={"secret_id_file": tmp_path / "stolen"})
    async with open_openbao(two, GATEKEEPER) as session:
        made = await session.make_secret_id()
        await session.keep(made)
    write_private(stolen.secret_id_file, made.value.reveal())
    await replace_secret_id(one, GATEKEEPER, "g1")

    # What g2 has on disk now is unclaimed, as a thief's would be; its former one is claimed.
    async with open_janitor(openbao, metrics) as janitor:
        destroyed = [facts.accessor for facts in await janitor.sweep(GATEKEEPER)]
        again = await janitor.sweep(GATEKEEPER)

    assert (destroyed, list(again)) == ([made.accessor], [])
    assert metrics.get_sample_value(UNCLAIMED, {"role": GATEKEEPER}) == 1
    await assert_logs_in(one)
    await assert_logs_in(waiting)
    with pytest.raises(CredentialRefusedError):
        await assert_logs_in(stolen)


async def test_a_restarted_and_a_sleeping_instance_keep_theirs(
    openbao: RunningOpenBao, metrics: CollectorRegistry, tmp_path: Path
) -> None:
    asleep, restarted = [await start_instance(openbao, tmp_path, name) for name in ("s1", "r1")]

    async with open_janitor(openbao, metrics) as janitor:
        for _ in range(3):
            await janitor.sweep(GATEKEEPER)
            await replace_secret_id(restarted, GATEKEEPER, "r1")
        await janitor.sweep(GATEKEEPER)

    await assert_logs_in(asleep)
    await assert_logs_in(restarted)
    assert metrics.get_sample_value(UNCLAIMED, {"role": GATEKEEPER}) is None


async def test_an_instance_that_was_renamed_takes_its_secret_id_along(
    openbao: RunningOpenBao, metrics: CollectorRegistry, tmp_path: Path
) -> None:
    settings = await start_instance(openbao, tmp_path, "before")
    async with open_janitor(openbao, metrics) as janitor:
        await janitor.sweep(GATEKEEPER)
        await replace_secret_id(settings, GATEKEEPER, "after")
        for _ in range(2):
            await janitor.sweep(GATEKEEPER)

    await assert_logs_in(settings)
    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        store = OpenBaoSecretStore(session)
        former = await store.fetch(claim_path(GATEKEEPER, instance_name("before")))
        present = await store.fetch(claim_path(GATEKEEPER, instance_name("after")))
    assert former is None
    assert present is not None
