"""The adapters when the API is in a bad mood; the emulator is, on order."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.metadata.adapters.acl_configmap import ConfigMapManifest
from services.metadata.config import AclConfigMap
from services.watcher.adapters.kube_pods import VARIANTS, NatsPods, PodExecSignal, PodSelection
from services.watcher.adapters.kube_secret import SecretTarget
from svc_core.adapters.kube import KubeApi, Named, open_kube
from svc_core.adapters.kube_exec import PodContainer
from svc_core.adapters.kube_watch import follow_config_map
from svc_core.adapters.system_clock import SystemClock
from svc_core.errors import AccessDeniedError, KubernetesError, StaleWriteError
from tests.fakes.kube_emulator.answers import ApiStatusError, conflict, forbidden
from tests.fakes.kube_emulator.emulator import Emulator, open_emulator
from tests.fakes.kube_emulator.execs import Container

NAMESPACE = "nats"
ACL = Named(NAMESPACE, "services-acl")
FILES = {"ca.pem": b"one"}


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    async with open_emulator(tmp_path) as emulator:
        emulator.add_pod(NAMESPACE, "nats-0", {"app": "nats"}, Container())
        yield emulator


@pytest.fixture
async def api(emulator: Emulator) -> AsyncIterator[KubeApi]:
    access = emulator.access().model_copy(update={"timeout": timedelta(seconds=0.5)})
    async with open_kube(access) as api:
        yield api


def put_acl(emulator: Emulator, text: str) -> None:
    metadata = {"name": ACL.name}
    emulator.add("configmaps", NAMESPACE, {"metadata": metadata, "data": {"k": text}})


def target(api: KubeApi) -> SecretTarget:
    pods = NatsPods(api, PodSelection(NAMESPACE, "app=nats"))
    return SecretTarget(api, Named(NAMESPACE, "nats-ca-tls"), SystemClock(), pods)


async def test_a_watch_from_a_place_that_is_gone_lists_again(
    emulator: Emulator, api: KubeApi
) -> None:
    put_acl(emulator, "1")
    emulator.faults.gone_watches = 2
    following = follow_config_map(api, ACL)

    seen = [await anext(following) for _ in range(3)]
    await following.aclose()

    assert seen == [{"k": "1"}] * 3
    assert emulator.faults.gone_watches == 0


async def test_what_changed_while_no_watch_was_open_is_seen(
    emulator: Emulator, api: KubeApi
) -> None:
    put_acl(emulator, "1")
    following = follow_config_map(api, ACL)
    seen = [await anext(following)]
    put_acl(emulator, "2")
    seen.append(await anext(following))

    emulator.drop_watches()
    put_acl(emulator, "3")
    emulator.store.forget_history()
    seen.append(await anext(following))
    await following.aclose()

    assert seen == [{"k": "1"}, {"k": "2"}, {"k": "3"}]


async def test_a_watch_that_is_refused_says_so(emulator: Emulator, api: KubeApi) -> None:
    emulator.faults.fail("watch", "configmaps", forbidden("not now"))
    following = follow_config_map(api, ACL)
    await anext(following)

    with pytest.raises(AccessDeniedError):
        await anext(following)
    await following.aclose()


async def test_the_manifest_is_one_key_of_its_config_map(emulator: Emulator, api: KubeApi) -> None:
    settings = AclConfigMap(namespace=NAMESPACE, key="k")
    put_acl(emulator, "roles: {}")
    following = ConfigMapManifest(api, settings).follow()
    there = await anext(following)
    emulator.add("configmaps", NAMESPACE, {"metadata": {"name": ACL.name}, "data": {"x": ""}})
    without = await anext(following)
    await following.aclose()

    assert (there, without) == (b"roles: {}", None)


async def test_a_write_that_met_another_is_repeated(emulator: Emulator, api: KubeApi) -> None:
    emulator.faults.fail("patch", "secrets", conflict("modified"), times=2)
    secret = target(api)

    await secret.publish(FILES)

    assert await secret.fetch(list(FILES)) == FILES


async def test_whoever_keeps_writing_is_told(emulator: Emulator, api: KubeApi) -> None:
    emulator.faults.fail("patch", "secrets", conflict("modified"), times=3)

    with pytest.raises(StaleWriteError):
        await target(api).publish(FILES)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (forbidden("no"), AccessDeniedError),
        (ApiStatusError(503, "ServiceUnavailable", "later"), KubernetesError),
    ],
)
async def test_a_refusal_is_what_it_says(
    emulator: Emulator, api: KubeApi, error: ApiStatusError, kind: type[Exception]
) -> None:
    emulator.faults.fail("get", "secrets", error)

    with pytest.raises(kind):
        await target(api).fetch(list(FILES))


async def test_an_api_that_is_too_slow_did_not_answer(emulator: Emulator, api: KubeApi) -> None:
    emulator.faults.latency = timedelta(seconds=0.7)

    with pytest.raises(KubernetesError, match="in time"):
        await target(api).fetch(list(FILES))


async def test_pods_that_cannot_be_nudged_hold_nothing_up(emulator: Emulator, api: KubeApi) -> None:
    emulator.faults.fail("patch", "pods", forbidden("no"))
    secret = target(api)

    await secret.publish(FILES)

    assert emulator.faults.left == 0
    assert await secret.fetch(list(FILES)) == FILES


@pytest.mark.parametrize(
    ("programs", "tried", "works"),
    [
        pytest.param({"sh", "kill"}, 1, True, id="busybox"),
        pytest.param({"sh"}, 1, True, id="slim Debian: the shell's own kill"),
        pytest.param({"kill"}, 2, True, id="no shell"),
        pytest.param({"nats-server"}, 3, True, id="from scratch"),
        pytest.param(set(), 3, False, id="nothing that could"),
    ],
)
async def test_every_image_has_some_way_to_be_signalled(
    emulator: Emulator, api: KubeApi, programs: set[str], tried: int, works: bool
) -> None:
    container = emulator.http.containers["nats-0"]
    container.programs = frozenset(programs)
    signal = PodExecSignal(api, PodContainer(NAMESPACE, "nats-0", "nats"))

    assert await signal.signal() is works
    assert container.commands == [list(variant) for variant in VARIANTS[:tried]]


async def test_what_worked_is_tried_first_the_next_time(emulator: Emulator, api: KubeApi) -> None:
    container = emulator.http.containers["nats-0"]
    container.programs = frozenset({"nats-server"})
    signal = PodExecSignal(api, PodContainer(NAMESPACE, "nats-0", "nats"))
    await signal.signal()
    container.commands.clear()

    await signal.signal()

    assert container.commands == [list(VARIANTS[2])]


async def test_a_process_that_is_not_there_is_not_signalled(
    emulator: Emulator, api: KubeApi
) -> None:
    emulator.http.containers["nats-0"].hang_up = lambda: False

    assert not await PodExecSignal(api, PodContainer(NAMESPACE, "nats-0", "nats")).signal()
