"""What Kubernetes does, held against the emulator always and a real cluster with ``KUBECONFIG``.

The emulator may be believed as far as this file goes. On a real cluster pods run the image that
``ST_KUBE_IMAGE`` names.
"""

import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.watcher.adapters.kube_events import FAILED, KubeEvents
from services.watcher.adapters.kube_pods import (
    MATERIAL,
    NatsPods,
    PodExecSignal,
    PodSelection,
)
from services.watcher.adapters.kube_secret import DIGEST, TIMESTAMP, SecretTarget
from svc_core.adapters.kube import APPLY, MERGE, KubeApi, Named, open_kube
from svc_core.adapters.kube_exec import PodContainer, run_in_pod
from svc_core.adapters.kube_watch import follow_config_map
from svc_core.adapters.system_clock import SystemClock
from svc_core.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    NotFoundError,
    RequestRefusedError,
    StaleWriteError,
)
from tests.contracts.kube_clusters import Cluster, open_emulated, open_real

JSON_PATCH = "application/json-patch+json"
HAS_CLUSTER = "KUBECONFIG" in os.environ
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=["emulator", "cluster"] if HAS_CLUSTER else ["emulator"])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A namespace of its own."""
    opened = open_emulated(tmp_path) if request.param == "emulator" else open_real(tmp_path)
    async with opened as cluster:
        yield cluster


@pytest.mark.skipif(not HAS_CLUSTER, reason="NOT RUN: no real cluster, KUBECONFIG is not set")
def test_the_contract_is_held_against_a_real_cluster_too() -> None:
    """Only says in the summary whether it was."""


def encoded(**files: bytes) -> dict[str, str]:
    return {name: base64.b64encode(content).decode() for name, content in files.items()}


async def create_secret(cluster: Cluster, name: str, **rest: Any) -> Any:
    body = {"metadata": {"name": name}, **rest}
    core = cluster.admin.core
    return await cluster.admin.send(core.create_namespaced_secret, cluster.namespace, body)


async def patch_secret(
    cluster: Cluster, name: str, body: Any, kind: str = MERGE, **options: Any
) -> Any:
    core = cluster.admin.core
    return await cluster.admin.send(
        core.patch_namespaced_secret,
        name,
        cluster.namespace,
        body,
        _content_type=kind,
        **options,
    )


async def read_secret(cluster: Cluster, name: str) -> Any:
    core = cluster.admin.core
    return await cluster.admin.send(core.read_namespaced_secret, name, cluster.namespace)


def applying(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def rule(resource: str, verbs: list[str], names: list[str] | None = None) -> dict[str, Any]:
    limited = {"resourceNames": names} if names else {}
    return {"apiGroups": [""], "resources": [resource], "verbs": verbs} | limited


# --- objects ----------------------------------------------------------------------------------


async def test_a_second_create_is_refused(cluster: Cluster) -> None:
    await create_secret(cluster, "once")

    with pytest.raises(AlreadyExistsError):
        await create_secret(cluster, "once")


async def test_a_stale_version_is_refused_in_a_patch(cluster: Cluster) -> None:
    first = await create_secret(cluster, "s", data=encoded(a=b"1"))
    await patch_secret(cluster, "s", {"data": encoded(a=b"2")})
    stale = {"metadata": {"resourceVersion": first.metadata.resource_version}}

    with pytest.raises(StaleWriteError):
        await patch_secret(cluster, "s", stale | {"data": encoded(a=b"3")})


async def test_a_patch_that_changes_nothing_keeps_the_version(cluster: Cluster) -> None:
    first = await create_secret(cluster, "s", data=encoded(a=b"1"))

    again = await patch_secret(cluster, "s", {"data": encoded(a=b"1")})

    assert again.metadata.resource_version == first.metadata.resource_version


async def test_null_removes_in_a_merge_patch(cluster: Cluster) -> None:
    await create_secret(cluster, "s", data=encoded(a=b"1", b=b"2"))

    after = await patch_secret(cluster, "s", {"data": {"a": None}})

    assert set(after.data) == {"b"}


@pytest.mark.parametrize("kind", [MERGE, "application/strategic-merge-patch+json"])
async def test_what_is_not_there_cannot_be_patched(cluster: Cluster, kind: str) -> None:
    with pytest.raises(NotFoundError):
        await patch_secret(cluster, "absent", {"data": encoded(a=b"1")}, kind)


async def test_a_failing_test_refuses_a_json_patch(cluster: Cluster) -> None:
    await create_secret(cluster, "s", data=encoded(a=b"1"))
    operation = {"op": "test", "path": "/data/a", "value": encoded(a=b"2")["a"]}

    with pytest.raises(RequestRefusedError):
        await patch_secret(cluster, "s", [operation], JSON_PATCH)


async def test_nothing_is_created_in_a_namespace_that_is_not_there(cluster: Cluster) -> None:
    core = cluster.admin.core
    with pytest.raises(NotFoundError):
        await cluster.admin.send(
            core.create_namespaced_secret, "no-such-namespace", {"metadata": {"name": "s"}}
        )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"type": "kubernetes.io/tls"}, id="a TLS Secret without its keys"),
        pytest.param({"data": encoded(a=b"x" * (1 << 20) + b"x")}, id="more than a mebibyte"),
    ],
)
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_an_invalid_secret_is_refused(cluster: Cluster, body: dict[str, Any]) -> None:
    with pytest.raises(RequestRefusedError):
        await create_secret(cluster, "s", **body)


async def test_data_that_is_no_base64_is_refused(cluster: Cluster) -> None:
    await create_secret(cluster, "s")

    with pytest.raises(RequestRefusedError):
        await patch_secret(cluster, "s", {"data": {"a": "!"}})


async def test_the_type_of_a_secret_stays(cluster: Cluster) -> None:
    await create_secret(cluster, "s", data=encoded(a=b"1"))

    with pytest.raises(RequestRefusedError, match="immutable"):
        await patch_secret(cluster, "s", {"type": "example.com/other"})


# --- server-side apply -------------------------------------------------------------------------


async def test_an_apply_creates_and_removes_what_it_no_longer_says(cluster: Cluster) -> None:
    both, one = encoded(a=b"1", b=b"2"), encoded(a=b"1")
    await patch_secret(cluster, "s", applying("s", **both), APPLY, field_manager="m")

    after = await patch_secret(cluster, "s", applying("s", **one), APPLY, field_manager="m")

    assert after.data == one


async def test_a_field_of_another_manager_is_taken_by_force_only(cluster: Cluster) -> None:
    await create_secret(cluster, "s", data=encoded(a=b"1"))
    wanted = applying("s", **encoded(a=b"2"))

    with pytest.raises(StaleWriteError):
        await patch_secret(cluster, "s", wanted, APPLY, field_manager="m")
    taken = await patch_secret(cluster, "s", wanted, APPLY, field_manager="m", force=True)

    assert taken.data == encoded(a=b"2")


async def test_an_apply_with_a_stale_version_is_refused_also_by_force(cluster: Cluster) -> None:
    first = await create_secret(cluster, "s", data=encoded(a=b"1"))
    await patch_secret(cluster, "s", {"data": encoded(a=b"2")})
    wanted = applying("s", **encoded(a=b"3"))
    wanted["metadata"]["resourceVersion"] = first.metadata.resource_version

    with pytest.raises(StaleWriteError):
        await patch_secret(cluster, "s", wanted, APPLY, field_manager="m", force=True)


# --- who may do what ---------------------------------------------------------------------------


async def test_a_role_limited_to_a_name_lists_with_the_selector_only(cluster: Cluster) -> None:
    verbs = ["get", "list", "watch"]
    limited = await cluster.as_account([rule("configmaps", verbs, ["services-acl"])])
    core, selector = limited.core, "metadata.name=services-acl"

    await limited.send(core.list_namespaced_config_map, cluster.namespace, field_selector=selector)
    with pytest.raises(AccessDeniedError):
        await limited.send(core.list_namespaced_config_map, cluster.namespace)


async def test_create_cannot_be_limited_to_a_name(cluster: Cluster) -> None:
    limited = await cluster.as_account([rule("secrets", ["create"], ["s"])])
    free = await cluster.as_account([rule("secrets", ["create"])])
    body = {"metadata": {"name": "s"}}

    with pytest.raises(AccessDeniedError):
        await limited.send(limited.core.create_namespaced_secret, cluster.namespace, body)
    await free.send(free.core.create_namespaced_secret, cluster.namespace, body)


async def test_an_unknown_token_is_refused(cluster: Cluster) -> None:
    access = await cluster.access_of_account([])
    access.token_file.write_text("nobody's")

    async with open_kube(access) as stranger:
        with pytest.raises(AccessDeniedError):
            await stranger.send(stranger.core.list_namespaced_pod, cluster.namespace)


async def test_a_token_is_read_again_for_every_call(cluster: Cluster) -> None:
    access = await cluster.access_of_account([rule("pods", ["list"])])
    good = access.token_file.read_text()
    async with open_kube(access) as api:
        access.token_file.write_text("gone")
        with pytest.raises(AccessDeniedError):
            await api.send(api.core.list_namespaced_pod, cluster.namespace)
        access.token_file.write_text(good)

        await api.send(api.core.list_namespaced_pod, cluster.namespace)


# --- watching ----------------------------------------------------------------------------------


async def test_a_config_map_is_followed_through_its_life(cluster: Cluster) -> None:
    core, namespace = cluster.admin.core, cluster.namespace
    reader = await cluster.as_account([rule("configmaps", ["list", "watch"], ["acl"])])
    following = follow_config_map(reader, Named(namespace, "acl"))
    absent = await anext(following)

    body = {"metadata": {"name": "acl"}, "data": {"k": "1"}}
    await cluster.admin.send(core.create_namespaced_config_map, namespace, body)
    created = await anext(following)
    await cluster.admin.send(
        core.patch_namespaced_config_map,
        "acl",
        namespace,
        {"data": {"k": "2"}},
        _content_type=MERGE,
    )
    changed = await anext(following)
    await cluster.admin.send(core.delete_namespaced_config_map, "acl", namespace)
    deleted = await anext(following)
    await following.aclose()

    assert (absent, created, changed, deleted) == (None, {"k": "1"}, {"k": "2"}, None)


# --- commands in pods --------------------------------------------------------------------------


async def test_a_command_is_judged_by_its_status(cluster: Cluster) -> None:
    await cluster.run_pod("nats-0")
    api = await cluster.as_account([rule("pods/exec", ["get", "create"])])
    place = PodContainer(cluster.namespace, "nats-0", "nats")

    well = await run_in_pod(api, place, ["sh", "-c", "kill -HUP 1"])
    badly = await run_in_pod(api, place, ["sh", "-c", "exit 3"])
    never = await run_in_pod(api, place, ["no-such-program"])

    assert not well.failure
    assert "3" in badly.failure
    assert "not found" in never.failure or "no such file" in never.failure


async def test_commands_need_both_verbs(cluster: Cluster) -> None:
    await cluster.run_pod("nats-0")
    place = PodContainer(cluster.namespace, "nats-0", "nats")
    stranger = await cluster.as_account([rule("pods", ["get", "list"])])

    with pytest.raises(AccessDeniedError):
        await run_in_pod(stranger, place, ["sh", "-c", "exit 0"])
    with pytest.raises(NotFoundError):
        await run_in_pod(cluster.admin, PodContainer(cluster.namespace, "absent", "nats"), ["sh"])


async def test_the_signal_gets_through(cluster: Cluster) -> None:
    await cluster.run_pod("nats-0")
    api = await cluster.as_account([rule("pods/exec", ["get", "create"])])

    assert await PodExecSignal(api, PodContainer(cluster.namespace, "nats-0", "nats")).signal()


async def test_pods_are_nudged_once(cluster: Cluster) -> None:
    await cluster.run_pod("nats-0")
    api = await cluster.as_account([rule("pods", ["list", "patch"])])
    pods = NatsPods(api, PodSelection(cluster.namespace, "app=nats"))
    core = cluster.admin.core

    await pods.nudge("digest-1")

    found = await cluster.admin.send(core.read_namespaced_pod, "nats-0", cluster.namespace)
    assert found.metadata.annotations[MATERIAL] == "digest-1"


# --- the adapters ------------------------------------------------------------------------------


async def watcher_api(cluster: Cluster) -> KubeApi:
    names = ["nats-ca-tls", "nats-ca-tls-previous"]
    return await cluster.as_account(
        [
            rule("secrets", ["get", "patch"], names),
            rule("secrets", ["create"]),
            rule("pods", ["list", "get", "patch"]),
            rule("events", ["create", "patch"]),
        ]
    )


async def secret_target(cluster: Cluster) -> SecretTarget:
    api = await watcher_api(cluster)
    pods = NatsPods(api, PodSelection(cluster.namespace, "app=nats"))
    return SecretTarget(api, Named(cluster.namespace, "nats-ca-tls"), SystemClock(), pods)


async def test_what_is_published_is_fetched(cluster: Cluster) -> None:
    target = await secret_target(cluster)
    absent = await target.fetch(["ca.pem"])

    await target.publish({"ca.pem": b"one", "key.pem": b"\x00\xff"})

    assert absent is None
    assert await target.fetch(["key.pem"]) == {"key.pem": b"\x00\xff"}
    assert await target.fetch(["ca.pem", "other"]) is None
    stored = await read_secret(cluster, "nats-ca-tls")
    assert {TIMESTAMP, DIGEST} <= set(stored.metadata.annotations)


async def test_the_set_before_is_kept_and_a_hand_made_one_is_not(cluster: Cluster) -> None:
    target = await secret_target(cluster)
    await target.publish({"ca.pem": b"one"})
    await target.publish({"ca.pem": b"two"})
    await patch_secret(cluster, "nats-ca-tls", {"data": encoded(**{"ca.pem": b"by hand"})})

    await target.publish({"ca.pem": b"three"})

    now = await read_secret(cluster, "nats-ca-tls")
    before = await read_secret(cluster, "nats-ca-tls-previous")
    assert now.data == encoded(**{"ca.pem": b"three"})
    assert before.data == encoded(**{"ca.pem": b"one"})


async def test_too_much_for_a_secret_is_refused_before_it_is_sent(cluster: Cluster) -> None:
    target = await secret_target(cluster)

    with pytest.raises(RequestRefusedError, match="do not fit"):
        await target.publish({"ca.pem": b"x" * (1 << 20), "more": b"x"})


async def test_events_are_written_once_per_change(cluster: Cluster) -> None:
    api = await watcher_api(cluster)
    secret = Named(cluster.namespace, "nats-ca-tls")
    events = KubeEvents(api, secret, SystemClock(), "watcher-1")
    for reason in ("refused", "refused", "other"):
        events.reload_failed("nats-0", reason)
    await events.flush()

    core = cluster.admin.core
    found = await cluster.admin.send(core.list_namespaced_event, cluster.namespace)

    ours = [(e.involved_object.name, e.message) for e in found.items if e.reason == FAILED]
    assert sorted(ours) == [("nats-0", "other"), ("nats-0", "refused")]
