"""The ``servers`` cluster in small: three NATS servers as pods, Watcher as a process."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from devstack.children import Program
from devstack.conditions import wait_until
from devstack.nats_nodes import prepare_nodes, start_nodes
from devstack.services import ServicePlan, service_settings, write_configuration
from svc_core.config import KubernetesApiSettings
from svc_core.domain.desired import TrustedIssuer
from svc_core.domain.identity import WATCHER
from tests.fakes.kube_emulator.emulator import Emulator, open_emulator
from tests.fakes.kube_emulator.execs import Container, process_named_in
from tests.fakes.kube_emulator.kubelet import SecretVolume
from tests.fakes.kube_emulator.objects import Place
from tests.integration.bare_stack import (
    DEPLOYMENT,
    RunningOpenBao,
    open_bare_openbao,
)
from tests.integration.kubernetes.authority import StepwiseAuthority
from tests.integration.kubernetes.prober import Prober, open_prober

NAMESPACE: Final = "nats"
SECRET: Final = "nats-ca-tls"
ACCOUNT: Final = "watcher"
NEEDED: Final[Sequence[Mapping[str, Any]]] = (
    {
        "apiGroups": [""],
        "resources": ["secrets"],
        "verbs": ["get", "patch"],
        "resourceNames": [SECRET, f"{SECRET}-previous", "nats-trust"],
    },
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "patch"]},
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
)
"""All that Watcher needs in the namespace of the NATS pods."""


@dataclass(frozen=True, slots=True)
class KubeletHabits:
    """How late the pods' files change."""

    delay: timedelta = timedelta(0)
    """Of the latest pod; the others see it after a third and two thirds of it."""
    heeds_annotations: bool = False


@dataclass(slots=True)
class Arrangement:
    """Everything that runs."""

    emulator: Emulator
    openbao: RunningOpenBao
    authority: StepwiseAuthority
    prober: Prober
    access: KubernetesApiSettings

    def events(self, reason: str) -> list[tuple[str, str]]:
        """Return the object and message of every Event with this reason."""
        return [
            (event["involvedObject"]["name"], event["message"])
            for event in self.emulator.store.select("events", NAMESPACE)
            if event["reason"] == reason
        ]

    def has_applied(self, version: int) -> bool:
        """Say whether Watcher has told the operator so."""
        wanted = f"version {version},"
        return any(wanted in message for _, message in self.events("RotationApplied"))

    async def until(self, is_so: Callable[[], bool], *, within: timedelta, part: str) -> None:
        """Wait for a condition."""

        async def probe() -> bool:
            return is_so()

        involved = list(self.openbao.supervisor.children.values())
        await wait_until(probe, within=within, part=part, involved=involved)

    async def rotate(
        self, former: TrustedIssuer, successor: TrustedIssuer, *, within: timedelta
    ) -> list[float]:
        """Trust, activate, withdraw; return the seconds each step took to be everywhere.

        Clients follow each step once it is everywhere, as the authority has them do it.
        """
        steps = (
            ((successor, former), former),
            ((successor, former), successor),
            ((successor,), successor),
        )
        took, clock = [], asyncio.get_running_loop().time
        for trusted, active in steps:
            began = clock()
            desired = await self.authority.want(*trusted, active=active)
            version = desired.version
            await self.until(
                lambda version=version: self.has_applied(version),  # type: ignore[misc]
                within=within,
                part=f"version {version}",
            )
            took.append(round(clock() - began, 2))
            await self.prober.adopt(desired)
        return took


@asynccontextmanager
async def open_arrangement(
    root: Path, habits: KubeletHabits, *, within: timedelta
) -> AsyncIterator[tuple[Arrangement, TrustedIssuer]]:
    """Start everything with a first issuer; yield when all servers run with its material.

    Args:
        root: where everything is kept.
        habits: the kubelet's.
        within: how long the first material may take to be everywhere.
    """
    cluster = root / "cluster"
    cluster.mkdir()
    async with open_bare_openbao(root / "var") as openbao, open_emulator(cluster) as emulator:
        nodes, layout = openbao.endpoints.nats, openbao.layout
        prepare_nodes(layout, nodes, DEPLOYMENT)
        _add_pods(emulator, openbao, habits)
        access = _account(emulator)
        _start_watcher(openbao, access)
        async with open_prober(openbao, [node.url for node in nodes]) as prober:
            authority = StepwiseAuthority(openbao)
            running = Arrangement(emulator, openbao, authority, prober, access)
            first = await authority.make_issuer(100)
            desired = await authority.want(first, active=first)
            await start_nodes(openbao.supervisor, layout, nodes, live_within=within)
            await running.until(
                lambda: running.has_applied(desired.version), within=within, part="Watcher"
            )
            await prober.adopt(desired)
            yield running, first


def _add_pods(emulator: Emulator, openbao: RunningOpenBao, habits: KubeletHabits) -> None:
    nodes = openbao.endpoints.nats
    for node in nodes:
        hang_up = process_named_in(Path(node.pid_file))
        emulator.add_pod(NAMESPACE, node.name, {"app": "nats"}, Container(hang_up))
    emulator.mount(
        [
            SecretVolume(
                node.name,
                Place("secrets", NAMESPACE, SECRET),
                Path(node.live_dir),
                habits.delay * (index + 1) / len(nodes),
                habits.heeds_annotations,
            )
            for index, node in enumerate(nodes)
        ]
    )


def _account(emulator: Emulator) -> KubernetesApiSettings:
    metadata = {"name": ACCOUNT}
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}
    binding = {"subjects": [subject], "roleRef": {"kind": "Role", "name": ACCOUNT}}
    emulator.add("roles", NAMESPACE, {"metadata": metadata, "rules": list(NEEDED)})
    emulator.add("rolebindings", NAMESPACE, {"metadata": metadata} | binding)
    return emulator.access_of(NAMESPACE, ACCOUNT)


def _start_watcher(openbao: RunningOpenBao, access: KubernetesApiSettings) -> None:
    layout, endpoints = openbao.layout, openbao.endpoints
    plan = ServicePlan(layout, endpoints, DEPLOYMENT, replicas=3)
    path = write_configuration(plan, WATCHER)
    settings = service_settings(plan, WATCHER)
    del settings["trust_dir"]
    settings["nats_nodes"] = [
        {
            "name": node.name,
            "url": node.url,
            "dns_names": [node.name, "localhost"],
            "ip_addresses": ["127.0.0.1"],
        }
        for node in endpoints.nats
    ]
    settings["kubernetes"] = {
        "namespace": NAMESPACE,
        "api": {
            "url": access.url,
            "ca_file": str(access.ca_file),
            "token_file": str(access.token_file),
        },
    }
    YAML(typ="safe").dump(settings, path)
    openbao.supervisor.start(
        Program(
            name=WATCHER,
            argv=(sys.executable, "-m", "services.watcher.main", "--config", str(path)),
            log_file=layout.logs / "watcher.out",
            structured_log=layout.log_of(WATCHER),
            directory=layout.service(WATCHER),
            environment={"PYTHONPATH": ":".join(p for p in sys.path if p)},
            stage=2,
            stop_within=timedelta(seconds=5),
        )
    )
