"""The shipped roles, both ways: everything Watcher and Metadata do is allowed, the rest is not.

What they do is recorded while they do it, by verb, resource and name; a role that grants more than
was asked for fails as much as one that grants less.
"""

from collections.abc import AsyncIterator, Iterator
from itertools import product
from pathlib import Path
from typing import TypeVar

import pytest

from services.metadata.adapters.acl_configmap import ConfigMapManifest
from services.metadata.config import MetadataSettings
from services.watcher.adapters.kube_cluster import KubeCluster
from services.watcher.config import WatcherSettings
from svc_core.adapters.kube import open_kube
from svc_core.adapters.system_clock import SystemClock
from svc_core.config import ServiceSettings
from svc_core.settings_loader import load_settings
from tests.fakes.kube_emulator.emulator import Emulator, open_emulator
from tests.fakes.kube_emulator.execs import Container
from tests.fakes.kube_emulator.objects import KINDS
from tests.fakes.kube_emulator.rbac import Act, read_rbac, service_account

BASES = Path(__file__).parents[3] / "deploy" / "minikube" / "bases"
PODS = ("nats-0", "nats-1", "nats-2")
SECRETS = ("nats-ca-tls", "nats-ca-tls-previous", "nats-trust")
T = TypeVar("T", bound=ServiceSettings)
WATCHER = service_account("nats", "watcher")
METADATA = service_account("metadata", "metadata")
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
RESOURCES = (
    *KINDS,
    "pods/exec",
    "pods/log",
    "serviceaccounts/token",
    "deployments",
    "statefulsets",
)
GROUPS = ("", "apps", "rbac.authorization.k8s.io")
NAMESPACES = ("nats", "metadata", "openbao", "kube-system", "")
NAMES = ("", *SECRETS, *PODS, "services-acl", "another")

WATCHER_MAY = {
    *product(("get",), ("secrets",), ("nats-ca-tls", "nats-trust")),
    *product(("create", "patch"), ("secrets",), SECRETS),
    *product(("list",), ("pods",), NAMES),
    *product(("patch",), ("pods",), PODS),
    *product(("get", "create"), ("pods/exec",), PODS),
    *product(("create",), ("events",), NAMES),
}
METADATA_MAY = set(product(("list", "watch"), ("configmaps",), ("services-acl",)))

Right = tuple[str, str, str, str]
"""Verb, API group, resource, and the name it is limited to or the empty string."""


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    """The emulator under the shipped roles."""
    async with open_emulator(tmp_path) as emulator:
        for base, namespace in (("watcher", "nats"), ("metadata", "metadata")):
            emulator.load_rbac(sorted((BASES / base).glob("*.yaml")), namespace=namespace)
        for pod in PODS:
            emulator.add_pod("nats", pod, {"app.kubernetes.io/name": "nats"}, Container())
        yield emulator


def shipped(model: type[T], base: str) -> T:
    """Return the settings with which a service runs in the shipped manifests."""
    return load_settings(model, config_file=BASES / base / "config.yaml", environ={})


def everything(user: str) -> Iterator[Act]:
    """Yield every act there is a word for."""
    for verb, group, resource, namespace, name in product(
        VERBS, GROUPS, RESOURCES, NAMESPACES, NAMES
    ):
        yield Act(user, verb, group, resource, namespace, name)


def granted(base: str) -> set[Right]:
    """Return every right in the shipped roles, one by one."""
    found = read_rbac(sorted((BASES / base).glob("*.yaml")), namespace=base)
    return {
        right
        for place, role in found
        if place.resource in {"roles", "clusterroles"}
        for rule in role["rules"]
        for right in product(
            rule["verbs"], rule["apiGroups"], rule["resources"], rule.get("resourceNames", [""])
        )
    }


def used(emulator: Emulator) -> set[Right]:
    """Return every right that somebody has asked for."""
    acts = [decision.act for decision in emulator.http.decisions]
    return {(act.verb, act.group, act.resource, act.name) for act in acts}


async def test_watcher_may_do_what_it_does_and_does_what_it_may(emulator: Emulator) -> None:
    settings = shipped(WatcherSettings, "watcher").kubernetes
    assert settings is not None
    async with open_kube(emulator.access(WATCHER)) as api:
        cluster = KubeCluster(api, settings, SystemClock(), "watcher-1")
        for content in (b"one", b"two"):
            await cluster.material.publish({"ca.pem": content})
            await cluster.trust.publish({"ca.pem": content})
        cluster.events.applied(version=1, active="ca-1-1")
        await cluster.events.flush()
        signalled = [await cluster.signal(pod).signal() for pod in PODS]

    marked = [p["metadata"].get("annotations") for p in emulator.store.select("pods", "nats")]
    assert signalled == [True] * 3
    assert all(marked)
    assert emulator.denials == []
    assert used(emulator) == granted("watcher")
    assert {e["reason"] for e in emulator.store.select("events", "nats")} == {"RotationApplied"}


async def test_metadata_may_do_what_it_does_and_does_what_it_may(emulator: Emulator) -> None:
    settings = shipped(MetadataSettings, "metadata").acl_config_map
    assert settings is not None
    text = "roles: {}"
    acl = {"metadata": {"name": settings.name}, "data": {settings.key: text}}
    emulator.add("configmaps", settings.namespace, acl)
    async with open_kube(emulator.access(METADATA)) as api:
        following = ConfigMapManifest(api, settings).follow()
        first = await anext(following)
        emulator.add("configmaps", settings.namespace, acl | {"data": {settings.key: "#"}})
        second = await anext(following)
        await following.aclose()

    assert (first, second) == (text.encode(), b"#")
    assert emulator.denials == []
    assert used(emulator) == granted("metadata")


@pytest.mark.parametrize(
    ("user", "namespace", "may"),
    [(WATCHER, "nats", WATCHER_MAY), (METADATA, "metadata", METADATA_MAY)],
)
async def test_nothing_else_is_allowed(
    emulator: Emulator, user: str, namespace: str, may: set[tuple[str, str, str]]
) -> None:
    allowed = {act for act in everything(user) if emulator.allows(act)}

    assert allowed == {
        Act(user, verb, "", resource, namespace, name) for verb, resource, name in may
    }


async def test_somebody_without_a_role_may_do_nothing(emulator: Emulator) -> None:
    assert not any(map(emulator.allows, everything(service_account("nats", "nats"))))
