"""What the shipped role of Watcher lets through, on the emulator always and on a real cluster too.

It limits the creation of Secrets to names, which holds for a server-side apply only. The emulator
may be believed in that as far as this file goes.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.watcher.adapters.kube_secret import PREVIOUS, SecretTarget
from svc_core.adapters.kube import APPLY, KubeApi, Named
from svc_core.adapters.system_clock import SystemClock
from svc_core.errors import AccessDeniedError
from tests.contracts.kube_clusters import Cluster, open_emulated, open_real
from tests.fakes.kube_emulator.rbac import read_rbac

ROLE = Path(__file__).parents[2] / "deploy" / "minikube" / "bases" / "watcher" / "rights.yaml"
SECRET = "nats-ca-tls"
HAS_CLUSTER = "KUBECONFIG" in os.environ
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=["emulator", "cluster"] if HAS_CLUSTER else ["emulator"])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A namespace of its own."""
    opened = open_emulated(tmp_path) if request.param == "emulator" else open_real(tmp_path)
    async with opened as cluster:
        yield cluster


@pytest.fixture
async def watcher(cluster: Cluster) -> KubeApi:
    """The API as an account with the shipped role."""
    role = next(role for place, role in read_rbac([ROLE], namespace="nats") if "rules" in role)
    return await cluster.as_account(role["rules"])


async def apply_secret(cluster: Cluster, api: KubeApi, name: str, kind: str = "Opaque") -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind}
    await api.send(
        api.core.patch_namespaced_secret,
        name,
        cluster.namespace,
        body,
        field_manager="watcher",
        _content_type=APPLY,
    )


async def test_an_apply_may_make_the_secrets_that_the_role_names(
    cluster: Cluster, watcher: KubeApi
) -> None:
    names = (SECRET, SECRET + PREVIOUS, "nats-trust")

    for name in names:
        await apply_secret(cluster, watcher, name)

    made = await cluster.admin.send(cluster.admin.core.list_namespaced_secret, cluster.namespace)
    assert set(names) <= {secret.metadata.name for secret in made.items}


async def test_an_apply_may_make_no_other(cluster: Cluster, watcher: KubeApi) -> None:
    with pytest.raises(AccessDeniedError):
        await apply_secret(cluster, watcher, "another")


async def test_a_plain_create_is_refused_whatever_its_name(
    cluster: Cluster, watcher: KubeApi
) -> None:
    body = {"metadata": {"name": SECRET}}

    with pytest.raises(AccessDeniedError):
        await watcher.send(watcher.core.create_namespaced_secret, cluster.namespace, body)


async def test_the_first_material_is_published_under_the_role(
    cluster: Cluster, watcher: KubeApi
) -> None:
    target = SecretTarget(watcher, Named(cluster.namespace, SECRET), SystemClock())

    await target.publish({"ca.pem": b"one"})
    await target.publish({"ca.pem": b"two"})

    assert await target.fetch(["ca.pem"]) == {"ca.pem": b"two"}


async def test_what_is_not_needed_is_refused(cluster: Cluster, watcher: KubeApi) -> None:
    core, namespace = watcher.core, cluster.namespace
    await apply_secret(cluster, watcher, SECRET)

    for operation, arguments in (
        (core.list_namespaced_secret, (namespace,)),
        (core.read_namespaced_secret, (SECRET + PREVIOUS, namespace)),
        (core.replace_namespaced_secret, (SECRET, namespace, {"metadata": {"name": SECRET}})),
        (core.delete_namespaced_secret, (SECRET, namespace)),
        (core.read_namespaced_pod, ("nats-0", namespace)),
        (core.list_namespaced_config_map, (namespace,)),
        (core.list_namespaced_event, (namespace,)),
    ):
        with pytest.raises(AccessDeniedError):
            await watcher.send(operation, *arguments)
