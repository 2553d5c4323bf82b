"""The list of identities as a real file: replaced by a person, and by a kubelet."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from devstack.identities import add_identity, ensure_pinned_identities, remove_identity
from devstack.layout import Layout
from svc_core.adapters.pinned import PinnedList
from svc_core.adapters.system_clock import SystemClock
from svc_core.config import TrustSettings
from svc_core.errors import ConfigError
from svc_core.flows.identity_following import IdentityFollower
from svc_core.flows.statements import Statements
from svc_core.runtime.health import Health
from tests.e2e.waiting import until

WITHIN_S = 10.0
LIST = "metadata-identities.json"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    ensure_pinned_identities(made)
    return made


def deliver(layout: Layout, mount: Path) -> None:
    """Do as the kubelet does: a new directory, and the symlink ``..data`` renamed over."""
    mount.mkdir(exist_ok=True)
    version = mount / f"..{sum(1 for _ in mount.iterdir())}"
    version.mkdir()
    shutil.copy(layout.metadata_identities, version / LIST)
    following = mount / "..data_tmp"
    following.symlink_to(version.name)
    following.replace(mount / "..data")
    if not (mount / LIST).is_symlink():
        (mount / LIST).symlink_to(Path("..data") / LIST)


@asynccontextmanager
async def followed(layout: Layout, file: Path) -> AsyncIterator[tuple[Statements, Health]]:
    """Follow ``file`` meanwhile."""
    trust = TrustSettings(operator_key_file=layout.operator_key, metadata_identities_file=file)
    pinned = PinnedList(trust)
    listed = pinned.read()
    statements, health = Statements(listed.identities), Health(SystemClock())
    follower = IdentityFollower(pinned, listed, statements, health, CollectorRegistry())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(follower.run())
        try:
            yield statements, health
        finally:
            task.cancel()


def says(health: Health, text: str) -> Callable[[], bool]:
    return lambda: text in health.report().loops[IdentityFollower.name].detail


async def test_a_file_that_is_replaced_counts_and_what_is_damaged_does_not(layout: Layout) -> None:
    file = layout.metadata_identities
    async with followed(layout, file) as (statements, health):
        add_identity(layout, "metadata-2")
        await until(says(health, "version 2:"), within_s=WITHIN_S, what="version 2")
        assert list(statements.signers) == ["metadata-1", "metadata-2"]

        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        await until(says(health, "message.malformed"), within_s=WITHIN_S, what="a refusal")
        file.unlink()
        await until(says(health, "identity.list_missing"), within_s=WITHIN_S, what="a refusal")
        assert list(statements.signers) == ["metadata-1", "metadata-2"]

        file.write_bytes(whole)
        remove_identity(layout, "metadata-1")
        await until(says(health, "version 3:"), within_s=WITHIN_S, what="version 3")
        assert list(statements.signers) == ["metadata-2"]


async def test_a_mounted_list_counts_as_soon_as_it_is_delivered(
    layout: Layout, tmp_path: Path
) -> None:
    mount = tmp_path / "mount"
    deliver(layout, mount)
    async with followed(layout, mount / LIST) as (statements, health):
        add_identity(layout, "metadata-2")
        deliver(layout, mount)
        await until(says(health, "version 2:"), within_s=WITHIN_S, what="version 2")

        assert list(statements.signers) == ["metadata-1", "metadata-2"]


def test_without_a_good_list_nothing_starts(layout: Layout) -> None:
    trust = TrustSettings(
        operator_key_file=layout.operator_key,
        metadata_identities_file=layout.metadata_identities,
    )
    layout.metadata_identities.write_bytes(b"")
    with pytest.raises(ConfigError, match="not signed by the operator"):
        PinnedList(trust).read()

    layout.metadata_identities.unlink()
    with pytest.raises(ConfigError, match="cannot read"):
        PinnedList(trust).read()
