"""Watcher rotates three real servers that are pods of the emulator, however late the kubelet is.

Nothing is scaled: delays are real seconds. The longest ones run with ``CHAOS_ALL=1``; that
patience, pace and reports suit 100 s is shown in virtual time beside the flow.
"""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.chaos.selection import ALL
from tests.fakes.kube_emulator.answers import conflict, forbidden
from tests.integration.kubernetes.arrangement import (
    NAMESPACE,
    SECRET,
    Arrangement,
    KubeletHabits,
    open_arrangement,
)

FIRST = timedelta(seconds=40)
DELAYS = [0, 20, 100] if ALL else [0, 3]


def pids(arrangement: Arrangement) -> dict[str, int]:
    """Return the process of every node."""
    return {n: c.pid for n, c in arrangement.openbao.supervisor.children.items() if n[0] == "n"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("delay_s", DELAYS)
async def test_a_rotation_is_the_same_however_late_the_kubelet_is(
    server_root: Path, delay_s: int
) -> None:
    habits = KubeletHabits(timedelta(seconds=delay_s))
    root = server_root / f"kubelet-{delay_s}"
    root.mkdir(mode=0o755)
    within = FIRST + habits.delay
    async with open_arrangement(root, habits, within=within) as (arrangement, first):
        before, failed = pids(arrangement), arrangement.events("ReloadFailed")
        successor = await arrangement.authority.make_issuer(101)

        took = await arrangement.rotate(first, successor, within=within)

        secret = arrangement.emulator.store.select("secrets", NAMESPACE)
        print(f"kubelet {delay_s} s: steps {took} s, {arrangement.prober.handshakes} handshakes")  # noqa: T201
        assert arrangement.prober.failures == []
        assert arrangement.prober.handshakes > 10
        assert pids(arrangement) == before
        assert max(took) < delay_s + 10
        assert {s["metadata"]["name"] for s in secret} == {
            SECRET,
            f"{SECRET}-previous",
            "nats-trust",
        }
        assert arrangement.emulator.denials == []
        assert arrangement.events("ReloadFailed") == failed
        assert bool(arrangement.events("PropagationSlow")) == (delay_s > 60)


async def test_a_changed_annotation_brings_the_files_at_once(server_root: Path) -> None:
    habits = KubeletHabits(timedelta(seconds=100), heeds_annotations=True)
    root = server_root / "annotated"
    root.mkdir(mode=0o755)
    async with open_arrangement(root, habits, within=FIRST) as (arrangement, first):
        successor = await arrangement.authority.make_issuer(101)

        took = await arrangement.rotate(first, successor, within=FIRST)

        assert max(took) < 10
        assert arrangement.prober.failures == []


async def test_it_converges_through_conflicts_refusals_and_lost_answers(server_root: Path) -> None:
    root = server_root / "troubled"
    root.mkdir(mode=0o755)
    async with open_arrangement(root, KubeletHabits(), within=FIRST) as (arrangement, first):
        successor = await arrangement.authority.make_issuer(101)
        faults, emulator = arrangement.emulator.faults, arrangement.emulator
        faults.fail("patch", "secrets", conflict("the object has been modified"), times=5)
        faults.fail("get", "secrets", forbidden("not now"), times=2)
        faults.fail("list", "pods", forbidden("not now"), times=2)
        faults.fail("create", "events", forbidden("not now"))
        faults.latency = timedelta(seconds=0.2)
        emulator.rotate_tokens(arrangement.access)

        await arrangement.rotate(first, successor, within=FIRST)

        assert faults.left == 0
        assert arrangement.prober.failures == []


async def test_a_secret_edited_by_hand_is_put_right(server_root: Path) -> None:
    root = server_root / "drift"
    root.mkdir(mode=0o755)
    async with open_arrangement(root, KubeletHabits(), within=FIRST) as (arrangement, _):
        store = arrangement.emulator.store
        place = next(v.secret for v in arrangement.emulator.kubelet.volumes)
        good = store.get(place)

        store.put(place, good | {"data": good["data"] | {"ca.pem": ""}})
        await arrangement.until(
            lambda: store.get(place)["data"] == good["data"],
            within=timedelta(seconds=15),
            part="repair",
        )

        assert arrangement.prober.failures == []
