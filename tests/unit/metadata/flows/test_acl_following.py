"""The ACL is followed: a good manifest is taken over whole, anything else changes nothing."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from structlog.testing import capture_logs

from services.metadata.flows.acl_following import AclFollower, AclSource, parse_acl, read_acl
from svc_core.domain.acl import Acl
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.errors import ConfigError
from svc_core.runtime.health import Health
from svc_core.runtime.wakeup import Wakeup
from tests.fakes.clock import LoopClock

KNOWN = frozenset({GATEKEEPER, AUTHCONTROLLER})
GOOD = b"roles: {gatekeeper: {publish: [a.b], subscribe: []}}"
OTHER = b"roles: {gatekeeper: {publish: [a.c]}, authcontroller: {subscribe: [a.c]}}"


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


def acl_of(raw: bytes) -> Acl:
    return parse_acl(raw, name="manifest", known=KNOWN)[0]


async def follow(source: AclSource, *versions: bytes | None) -> list[str]:
    """Follow all versions; return the events that were logged."""
    manifest = ScriptedManifest(versions)
    follower = AclFollower(manifest, source, KNOWN, Health(LoopClock()))
    with capture_logs() as events:
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follower.run())
            await manifest.said.wait()
            following.cancel()
    return [event["event"] for event in events]


async def test_another_manifest_is_taken_over_and_wakes_who_waits() -> None:
    source, woken = AclSource(acl_of(GOOD)), Wakeup()
    source.wake(woken)

    events = await follow(source, GOOD, OTHER)

    assert source.current == acl_of(OTHER)
    assert events == ["acl.changed"]
    assert await woken.wait(0)


@pytest.mark.parametrize(
    ("version", "event"),
    [
        pytest.param(None, "acl.missing", id="deleted"),
        pytest.param(b"", "acl.refused", id="empty"),
        pytest.param(b"roles: [", "acl.refused", id="no YAML"),
        pytest.param(b"roles: {gatekeeper: {write: []}}", "acl.refused", id="no such verb"),
        pytest.param(b"roles: {gatekeeper: {publish: a}}", "acl.refused", id="no list"),
    ],
)
async def test_anything_else_keeps_the_last_good_one(version: bytes | None, event: str) -> None:
    source, woken = AclSource(acl_of(GOOD)), Wakeup()
    source.wake(woken)

    events = await follow(source, GOOD, version, version, GOOD)

    assert source.current == acl_of(GOOD)
    assert events == [event]
    assert not await woken.wait(0)


async def test_the_same_permissions_in_other_words_wake_nobody() -> None:
    source, woken = AclSource(acl_of(GOOD)), Wakeup()
    source.wake(woken)

    await follow(source, b"# a comment\n" + GOOD)

    assert not await woken.wait(0)


@pytest.mark.parametrize("version", [None, b"roles: 1"])
async def test_without_a_good_manifest_nothing_begins(version: bytes | None) -> None:
    with pytest.raises(ConfigError, match="manifest"):
        await read_acl(ScriptedManifest([version]), known=KNOWN)


async def test_what_grants_nothing_is_said() -> None:
    raw = b"roles: {gatekeeper: {publish: ['a.>']}, stranger: {publish: [a.b]}}"

    with capture_logs() as events:
        acl = await read_acl(ScriptedManifest([raw]), known=KNOWN)

    assert acl.services[GATEKEEPER].topics == frozenset()
    assert {event["of"] for event in events} == {"gatekeeper", "stranger"}
