"""Metadata follows the ACL in its ConfigMap: no restart, no NATS, the last good one kept."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ruamel.yaml import YAML

from devstack.children import Program
from devstack.conditions import wait_until
from devstack.services import ServicePlan, service_settings, write_configuration
from svc_core.config import KubernetesApiSettings
from svc_core.domain.desired import DesiredState
from svc_core.domain.identity import GATEKEEPER, METADATA
from svc_core.domain.subjects import AUTH_REQUEST, DESIRED_PATH, RESPONDER
from svc_core.errors import NotFoundError
from svc_core.wire import desired as desired_wire
from svc_core.wire import documents
from tests.fakes.kube_emulator.emulator import Emulator, open_emulator
from tests.fakes.kube_emulator.objects import Place
from tests.integration.bare_stack import DEPLOYMENT, RunningOpenBao, open_bare_openbao

ACL = Place("configmaps", "metadata", "services-acl")
ONE = f"roles: {{gatekeeper: {{publish: [{AUTH_REQUEST}]}}}}"
TWO = f"roles: {{gatekeeper: {{publish: [{AUTH_REQUEST}], subscribe: [{RESPONDER}]}}}}"


@dataclass(frozen=True)
class Authority:
    """Metadata under one emulator."""

    emulator: Emulator
    openbao: RunningOpenBao

    def put(self, manifest: str) -> None:
        """Edit the ConfigMap."""
        value = {"metadata": {"name": ACL.name}, "data": {"acl-manifest.yaml": manifest}}
        self.emulator.add(ACL.resource, ACL.namespace, value)

    async def desired(self) -> DesiredState | None:
        """Return what is wanted now."""
        async with self.openbao.logged_in(METADATA) as session:
            try:
                answer = await session.read(f"secret/data/{DESIRED_PATH}")
            except NotFoundError:
                return None
        return desired_wire.decode(documents.decode_entry(answer["data"]["data"]).body)

    async def until_granted(self, *topics: str) -> DesiredState:
        """Wait until Gatekeeper may receive exactly these."""
        found: list[DesiredState] = []

        async def probe() -> bool:
            state = await self.desired()
            if state is None or state.grants[GATEKEEPER].subscribe != topics:
                return False
            found.append(state)
            return True

        involved = list(self.openbao.supervisor.children.values())
        await wait_until(probe, within=timedelta(seconds=30), part="grants", involved=involved)
        return found[0]

    async def until_logged(self, event: str) -> None:
        """Wait until Metadata has said so."""
        log = self.openbao.layout.log_of(METADATA)

        async def probe() -> bool:
            return log.exists() and f'"{event}"' in log.read_text()

        await wait_until(probe, within=timedelta(seconds=30), part=event)


@asynccontextmanager
async def open_authority(root: Path) -> AsyncIterator[Authority]:
    """Start OpenBao, the emulator with the first manifest, and Metadata."""
    cluster = root / "cluster"
    cluster.mkdir()
    async with open_emulator(cluster) as emulator, open_bare_openbao(root / "var") as openbao:
        authority = Authority(emulator, openbao)
        authority.put(ONE)
        _start(openbao, emulator.access())
        yield authority


def _start(openbao: RunningOpenBao, access: KubernetesApiSettings) -> None:
    layout = openbao.layout
    plan = ServicePlan(layout, openbao.endpoints, DEPLOYMENT, replicas=1)
    path = write_configuration(plan, METADATA)
    settings = service_settings(plan, METADATA)
    del settings["acl_file"]
    api = {name: str(getattr(access, name)) for name in ("url", "ca_file", "token_file")}
    settings["acl_config_map"] = {"namespace": ACL.namespace, "api": api}
    YAML(typ="safe").dump(settings, path)
    openbao.supervisor.start(
        Program(
            name=METADATA,
            argv=(sys.executable, "-m", "services.metadata.main", "--config", str(path)),
            log_file=layout.logs / "metadata.out",
            structured_log=layout.log_of(METADATA),
            directory=layout.service(METADATA),
            environment={"PYTHONPATH": ":".join(p for p in sys.path if p)},
            stage=2,
            stop_within=timedelta(seconds=5),
        )
    )


async def test_the_acl_is_followed_and_the_last_good_one_kept(server_root: Path) -> None:
    root = server_root / "acl"
    root.mkdir(mode=0o755)
    async with open_authority(root) as authority:
        first = await authority.until_granted()

        authority.emulator.drop_watches()
        authority.put(TWO)
        second = await authority.until_granted(RESPONDER)
        authority.put("roles: [")
        await authority.until_logged("acl.refused")
        authority.emulator.store.remove(ACL)
        await authority.until_logged("acl.missing")
        kept = await authority.desired()
        authority.put(ONE)
        last = await authority.until_granted()

    assert second.version > first.version
    assert kept is not None
    assert kept.grants == second.grants
    assert last.version > second.version
