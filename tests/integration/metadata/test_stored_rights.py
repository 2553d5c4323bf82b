"""Metadata as a process, again and again on one OpenBao: it never forgets what it granted."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from devstack.conditions import wait_until
from devstack.services import ServicePlan, write_configuration
from services.metadata.domain.stated_rights import RIGHTS_PATH
from services.metadata.flows.ledger_keeping import LEDGER_PATH
from svc_core.domain.identity import GATEKEEPER, METADATA
from svc_core.domain.subjects import AUTH_REQUEST, DESIRED_PATH, RESPONDER
from svc_core.errors import NotFoundError
from svc_core.wire import desired as desired_wire
from svc_core.wire import documents
from tests.integration.background import in_background
from tests.integration.bare_stack import DEPLOYMENT, RunningOpenBao, open_bare_openbao

PROJECT: Final = Path(__file__).parents[3]
MISCONFIGURED: Final = 2
WITHIN: Final = timedelta(seconds=30)
ONE: Final = f"roles: {{gatekeeper: {{publish: [{AUTH_REQUEST}]}}}}\n"
TWO: Final = f"roles: {{gatekeeper: {{publish: [{AUTH_REQUEST}], subscribe: [{RESPONDER}]}}}}\n"
BAD: Final = "roles: {gatekeeper: {publsh: [], publish: [.]}}\n"


@dataclass(frozen=True)
class Deployment:
    """Metadata's part of a deployment, on a real OpenBao and without NATS."""

    openbao: RunningOpenBao

    @property
    def manifest(self) -> Path:
        """The ACL manifest."""
        return self.openbao.layout.acl_file

    def state(self, text: str) -> None:
        """Replace the manifest."""
        self.manifest.parent.mkdir(exist_ok=True)
        self.manifest.write_text(text)

    @asynccontextmanager
    async def metadata(self) -> AsyncIterator["subprocess.Popen[str]"]:
        """Run Metadata as a process, and kill it."""
        plan = ServicePlan(self.openbao.layout, self.openbao.endpoints, DEPLOYMENT, replicas=1)
        config = write_configuration(plan, METADATA)
        self.openbao.layout.log_of(METADATA).unlink(missing_ok=True)
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "services.metadata.main", "--config", str(config)],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join([str(PROJECT / "libs"), str(PROJECT)]),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    async def stored(self, path: str) -> dict[str, object] | None:
        """Return the entry at ``path``, or None."""
        async with self.openbao.logged_in(METADATA) as session:
            try:
                answer = await session.read(f"secret/data/{path}")
            except NotFoundError:
                return None
        return dict(answer["data"]["data"])

    async def consumed(self) -> tuple[str, ...] | None:
        """Return what Gatekeeper may consume as everybody was told; None before anybody was."""
        entry = await self.stored(DESIRED_PATH)
        if entry is None:
            return None
        return desired_wire.decode(documents.decode_entry(entry).body).grants[GATEKEEPER].subscribe

    async def until_consumed(self, *topics: str) -> None:
        """Wait until everybody was told that Gatekeeper may consume exactly these."""

        async def probe() -> bool:
            return await self.consumed() == topics

        await wait_until(probe, within=WITHIN, part="grants")

    async def until_logged(self, event: str) -> None:
        """Wait until the process of now has said so."""
        log = self.openbao.layout.log_of(METADATA)

        async def probe() -> bool:
            return log.exists() and f'"{event}"' in log.read_text()

        await wait_until(probe, within=WITHIN, part=event)


@pytest.fixture(scope="module")
def deployment(server_root: Path) -> Iterator[Deployment]:
    """An OpenBao of this module's own."""
    with in_background(lambda: open_bare_openbao(server_root / "rights")) as openbao:
        yield Deployment(openbao)


@pytest.mark.timeout(180)
async def test_rights_that_were_granted_once_outlive_manifest_and_process(
    deployment: Deployment,
) -> None:
    deployment.state(BAD)
    async with deployment.metadata() as first:
        _, said = first.communicate(timeout=WITHIN.total_seconds())
    assert first.returncode == MISCONFIGURED
    assert [line.count("error: ") for line in said.splitlines()] == [1, 1]
    assert await deployment.stored(RIGHTS_PATH) is None

    deployment.state(TWO)
    async with deployment.metadata():
        await deployment.until_consumed(RESPONDER)
        await deployment.until_logged("keys.issued")
    ledger = await deployment.stored(LEDGER_PATH)
    assert ledger is not None

    for spoil in (_damage, _remove, _make_unreadable):
        spoil(deployment)
        async with deployment.metadata() as restarted:
            await deployment.until_logged("rights.restored")
            await deployment.until_logged("lease.taken")
            assert restarted.poll() is None
            assert await deployment.consumed() == (RESPONDER,)
        after = await deployment.stored(LEDGER_PATH)
        assert after is not None
        assert (after["mark"], after["rolls"]) == (ledger["mark"], ledger["rolls"])

    deployment.manifest.rmdir()
    deployment.state(ONE)
    async with deployment.metadata():
        await deployment.until_consumed()


def _damage(deployment: Deployment) -> None:
    deployment.state(BAD)


def _remove(deployment: Deployment) -> None:
    deployment.manifest.unlink()


def _make_unreadable(deployment: Deployment) -> None:
    # Who runs this may be root, whom no mode keeps from reading.
    deployment.manifest.mkdir()
