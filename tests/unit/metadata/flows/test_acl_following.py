"""The ACL is followed: a good manifest is taken over whole, anything else changes nothing."""

import asyncio
from collections.abc import AsyncGenerator, MutableMapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.metadata.flows.acl_following import (
    AclFollower,
    AclSource,
    ManifestUnreadableError,
    read_acl,
)
from svc_core.domain.acl import Acl
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.errors import ConfigError, Disposition
from svc_core.runtime.health import Health, HealthReport
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire import acl_manifest
from tests.fakes.clock import LoopClock

KNOWN = frozenset({GATEKEEPER, AUTHCONTROLLER})
GOOD = b"roles: {gatekeeper: {publish: [a.b], subscribe: []}}"
OTHER = b"roles: {gatekeeper: {publish: [a.c]}, authcontroller: {subscribe: [a.c]}}"

Event = MutableMapping[str, Any]


class ScriptedManifest:
    """Says what it is told to say, one version after the other, and then nothing more."""

    name = "manifest"

    def __init__(self, versions: Sequence[bytes | None]) -> None:
        self._versions = versions
        self.said = asyncio.Event()

    async def follow(self) -> AsyncGenerator[bytes | None, None]:
        """Yield every version."""
        for version in self._versions:
            yield version
        self.said.set()
        await asyncio.Event().wait()


class UnreadableManifest(ScriptedManifest):
    """The same, and at the end it cannot be read any more."""

    async def follow(self) -> AsyncGenerator[bytes | None, None]:
        """Yield every version, then fail."""
        for version in self._versions:
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


async def follow(
    source: AclSource, *versions: bytes | None, health: Health | None = None
) -> list[Event]:
    """Follow all versions; return the events that were logged."""
    manifest = ScriptedManifest(versions)
    follower = AclFollower(manifest, source, KNOWN, health or watched())
    with capture_logs() as events:
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follower.run())
            await manifest.said.wait()
            following.cancel()
    return events


def names(events: Sequence[Event]) -> list[str]:
    return [event["event"] for event in events]


def detail(report: HealthReport) -> str:
    return report.loops[AclFollower.name].detail


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
    source = AclSource(acl_of(GOOD))
    follower = AclFollower(UnreadableManifest([OTHER]), source, KNOWN, watched())
    said = "manifest: cannot be read: Permission denied; the last good one stays in force"

    for _ in range(2):
        with pytest.raises(ManifestUnreadableError) as caught:
            await follower.run()

        assert str(caught.value) == said
        assert caught.value.disposition is Disposition.RETRY
    assert source.current == acl_of(OTHER)


async def test_the_same_permissions_in_other_words_wake_nobody() -> None:
    source, woken = AclSource(acl_of(GOOD)), Wakeup()
    source.wake(woken)

    await follow(source, b"# a comment\n" + GOOD)

    assert not await woken.wait(0)


@pytest.mark.parametrize("version", [None, b"roles: 1"])
async def test_without_a_good_manifest_nothing_begins(version: bytes | None) -> None:
    with pytest.raises(ConfigError, match="manifest"):
        await read_acl(ScriptedManifest([version]), known=KNOWN)


async def test_what_grants_nothing_is_said_once() -> None:
    raw = b"roles: {gatekeeper: {publish: ['a.>', b, b]}, stranger: {publish: [a.b]}}"
    source = AclSource(await read_acl(ScriptedManifest([raw]), known=KNOWN))

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
