"""The ACL is followed: a good manifest is taken over whole, anything else changes nothing."""

import asyncio
from collections.abc import AsyncGenerator, MutableMapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.metadata.flows.acl_following import (
    AclFollower,
    AclSource,
    ManifestUnreadableError,
)
from services.metadata.flows.manifest_metrics import IN_FORCE, REFUSED, ManifestMetrics
from services.metadata.flows.rights_keeping import RightsKeeper
from svc_core.domain.acl import Acl
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.errors import ConfigError, Disposition, SecretStoreError
from svc_core.runtime.health import Health, HealthReport
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire import acl_manifest
from tests.builders import make_surroundings
from tests.fakes.clock import LoopClock
from tests.fakes.memory_secret_store import MemorySecretStore

KNOWN = frozenset({GATEKEEPER, AUTHCONTROLLER})
GOOD = b"roles: {gatekeeper: {publish: [a.b], subscribe: []}}"
OTHER = b"roles: {gatekeeper: {publish: [a.c]}, authcontroller: {subscribe: [a.c]}}"

Event = MutableMapping[str, Any]


class ScriptedManifest:
    """Says what it is told to say, one version after the other, and then nothing more."""

    name = "manifest"

    def __init__(self, versions: Sequence[bytes | None]) -> None:
        self.versions = versions
        self.said = asyncio.Event()

    async def follow(self) -> AsyncGenerator[bytes | None, None]:
        """Yield every version."""
        for version in self.versions:
            yield version
        self.said.set()
        await asyncio.Event().wait()


class UnreadableManifest(ScriptedManifest):
    """The same, and at the end it cannot be read any more."""

    async def follow(self) -> AsyncGenerator[bytes | None, None]:
        """Yield every version, then fail."""
        for version in self.versions:
            yield version
        raise ConfigError("manifest: cannot be read: Permission denied")


def acl_of(raw: bytes) -> Acl:
    acl = acl_manifest.decode(raw, known=KNOWN).acl
    assert acl is not None
    return acl


def watched() -> Health:
    """Return a health that expects the follower."""
    health = Health(LoopClock())
    health.expect(AclFollower.name, timedelta(minutes=10))
    return health


def follower_of(
    manifest: ScriptedManifest,
    source: AclSource,
    health: Health | None = None,
    *,
    store: MemorySecretStore | None = None,
    registry: CollectorRegistry | None = None,
) -> AclFollower:
    """Return the follower of the process that holds the lease."""
    health, metrics = health or watched(), ManifestMetrics(registry or CollectorRegistry())
    around = make_surroundings(LoopClock(), health=health)
    rights = RightsKeeper(store or MemorySecretStore(), source, lambda: 1, around, metrics)
    return AclFollower(manifest, rights, KNOWN, health, metrics)


async def follow(
    source: AclSource,
    *versions: bytes | None,
    health: Health | None = None,
    registry: CollectorRegistry | None = None,
) -> list[Event]:
    """Follow all versions; return what was logged about them."""
    manifest = ScriptedManifest(versions)
    follower = follower_of(manifest, source, health, registry=registry)
    with capture_logs() as events:
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follower.run())
            await manifest.said.wait()
            following.cancel()
    return [event for event in events if event["event"].startswith("acl.")]


def names(events: Sequence[Event]) -> list[str]:
    return [event["event"] for event in events]


def refused(registry: CollectorRegistry, code: str) -> float | None:
    return registry.get_sample_value(REFUSED, {"code": code})


def detail(report: HealthReport) -> str:
    return report.loops[AclFollower.name].detail


def in_force(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value(IN_FORCE)


async def test_another_manifest_is_taken_over_and_wakes_who_waits() -> None:
    source, woken = AclSource(acl_of(GOOD)), Wakeup()
    source.wake(woken)

    events = await follow(source, GOOD, OTHER)

    assert source.current == acl_of(OTHER)
    assert names(events) == ["acl.changed"]
    assert await woken.wait(0)


async def test_a_change_is_reported_with_all_it_touches() -> None:
    source = AclSource(acl_of(GOOD))

    (event,) = await follow(source, OTHER)

    assert event == {
        "event": "acl.changed",
        "log_level": "info",
        "added": (AUTHCONTROLLER,),
        "removed": (),
        "altered": [GATEKEEPER],
        "granted": 2,
        "withdrawn": 1,
        "topics_to_roll": 1,
        "bundles": (AUTHCONTROLLER, GATEKEEPER),
        "nats_users": (AUTHCONTROLLER,),
    }


@pytest.mark.parametrize(
    ("version", "event"),
    [
        pytest.param(None, "acl.missing", id="deleted"),
        pytest.param(b"", "acl.refused", id="empty"),
        pytest.param(b"roles: [", "acl.refused", id="no YAML"),
        pytest.param(b"roles: {gatekeeper: {write: []}}", "acl.refused", id="no such verb"),
        pytest.param(b"roles: {gatekeeper: {publish: a}}", "acl.refused", id="no list"),
        pytest.param(b"roles: {gatekeeper: {publish: [a..b]}}", "acl.refused", id="no subject"),
    ],
)
async def test_anything_else_keeps_the_last_good_one(version: bytes | None, event: str) -> None:
    source, woken = AclSource(acl_of(GOOD)), Wakeup()
    source.wake(woken)

    events = await follow(source, GOOD, version, version, GOOD)

    assert source.current == acl_of(GOOD)
    assert names(events) == [event, "acl.recovered"]
    assert not await woken.wait(0)


async def test_what_is_wrong_at_the_beginning_is_reported_too() -> None:
    events = await follow(AclSource(acl_of(GOOD)), b"")

    assert names(events) == ["acl.refused"]


async def test_a_refusal_names_every_mistake() -> None:
    (event,) = await follow(
        AclSource(acl_of(GOOD)), b"roles: {gatekeeper: {publsh: [], publish: [.]}}"
    )

    assert event["errors"] == 2
    assert event["reason"] == event["problems"][0]
    assert [problem.partition(" error: ")[0] for problem in event["problems"]] == [
        "manifest:1:22:",
        "manifest:1:44:",
    ]


@pytest.mark.parametrize(
    ("version", "said"),
    [
        pytest.param(None, "manifest is missing; the last good one stays in force", id="deleted"),
        pytest.param(b"roles: 1", "refused, 1 errors, the first: manifest:1:1: ", id="refused"),
    ],
)
async def test_health_says_that_the_last_good_one_is_in_force(
    version: bytes | None, said: str
) -> None:
    health = watched()
    source = AclSource(acl_of(GOOD))

    await follow(source, GOOD, version, version, health=health)
    while_bad = health.report()
    await follow(source, GOOD, version, GOOD, health=health)
    recovered = health.report()

    assert while_bad.ready
    assert detail(while_bad).startswith(said)
    assert recovered.ready
    assert detail(recovered) == "services: 1"


async def test_one_that_cannot_be_read_keeps_the_last_good_one_and_is_tried_again() -> None:
    source, registry, health = AclSource(acl_of(OTHER)), CollectorRegistry(), watched()
    manifest = UnreadableManifest([])
    follower = follower_of(manifest, source, health, registry=registry)
    said = "manifest: cannot be read: Permission denied; the last good one stays in force"

    for _ in range(3):
        with pytest.raises(ManifestUnreadableError) as caught:
            await follower.run()

        assert str(caught.value) == said
        assert caught.value.disposition is Disposition.RETRY
        assert health.report().ready
    assert source.current == acl_of(OTHER)
    assert (refused(registry, "acl.unreadable"), in_force(registry)) == (1, 0)


async def test_one_that_can_be_read_again_is_judged_anew() -> None:
    source, registry = AclSource(acl_of(GOOD)), CollectorRegistry()
    manifest = UnreadableManifest([GOOD])
    follower = follower_of(manifest, source, registry=registry)
    events: list[list[str]] = []
    for manifest.versions in ([GOOD], [], [GOOD]):
        with capture_logs() as logged, pytest.raises(ManifestUnreadableError):
            await follower.run()
        events.append([name for name in names(logged) if name.startswith("acl.")])

    assert events == [[], [], ["acl.recovered"]]
    assert (refused(registry, "acl.unreadable"), in_force(registry)) == (1, 1)


async def test_one_that_is_read_but_cannot_be_watched_counts() -> None:
    source, registry = AclSource(acl_of(GOOD)), CollectorRegistry()
    follower = follower_of(UnreadableManifest([OTHER]), source, registry=registry)

    for _ in range(3):
        with pytest.raises(ManifestUnreadableError):
            await follower.run()

    assert source.current == acl_of(OTHER)
    assert (refused(registry, "acl.unreadable"), in_force(registry)) == (0, 1)


async def test_the_same_permissions_in_other_words_wake_nobody() -> None:
    source, woken = AclSource(acl_of(GOOD)), Wakeup()
    source.wake(woken)

    await follow(source, b"# a comment\n" + GOOD)

    assert not await woken.wait(0)


async def test_what_changes_nothing_is_counted_by_what_is_wrong_with_it() -> None:
    registry = CollectorRegistry()

    await follow(AclSource(acl_of(GOOD)), GOOD, b"roles: 1", None, b"", GOOD, registry=registry)

    assert refused(registry, "acl.refused") == 2
    assert refused(registry, "acl.missing") == 1
    assert refused(registry, "acl.unreadable") == 0
    assert in_force(registry) == 1


async def test_what_could_not_be_stored_is_not_granted_and_tried_again() -> None:
    source, store = AclSource(acl_of(GOOD)), MemorySecretStore()
    follower = follower_of(ScriptedManifest([OTHER]), source, store=store)
    store.failure = SecretStoreError("OpenBao is away")

    with pytest.raises(SecretStoreError):
        await follower.run()
    granted = source.current
    store.failure = None
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follower.run())
        await asyncio.sleep(1)
        following.cancel()

    assert granted == acl_of(GOOD)
    assert source.current == acl_of(OTHER)


async def test_what_grants_nothing_is_said_once() -> None:
    raw = b"roles: {gatekeeper: {publish: ['a.>', b, b]}, stranger: {publish: [a.b]}}"
    source = AclSource(None)

    events = await follow(source, raw, raw)

    assert source.current.services[GATEKEEPER].topics == {"b"}
    assert [(e["event"], e["of"], e["entry"], e["place"]) for e in events] == [
        ("acl.entry_ignored", "gatekeeper", "a.>", "manifest:1:32"),
        ("acl.entry_doubtful", "gatekeeper", "b", "manifest:1:42"),
        ("acl.entry_ignored", "stranger", "*", "manifest:1:47"),
    ]


async def test_a_log_is_not_filled_with_remarks() -> None:
    entries = ", ".join(f"'a{n}.>'" for n in range(70))
    raw = f"roles: {{gatekeeper: {{publish: [{entries}]}}}}".encode()

    events = await follow(AclSource(acl_of(raw)), raw)

    assert names(events) == ["acl.entry_ignored"] * 50 + ["acl.remarks_omitted"]
    assert events[-1]["omitted"] == 20
