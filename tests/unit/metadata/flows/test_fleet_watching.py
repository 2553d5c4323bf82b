"""Only what a registered instance signed about itself, a moment ago, counts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from services.metadata.flows.fleet_watching import StatusListener
from svc_core.crypto import contexts
from svc_core.domain.identity import GATEKEEPER, WATCHER, InstanceName
from svc_core.domain.status import InstanceStatus
from svc_core.domain.subjects import STATUS_BUCKET
from svc_core.errors import (
    IdentityError,
    MalformedMessageError,
    RejectedError,
    SecretStoreError,
    VerificationError,
)
from svc_core.wire import documents
from svc_core.wire import status as status_wire
from tests.builders import DEMO
from tests.unit.metadata.world import Follower, World, make_followers, run_for

TICK = timedelta(microseconds=1)


async def seen(world: World) -> list[InstanceStatus]:
    """Return the live instances as a new process sees them."""
    fleet = await world.start().fleet.observe()
    assert fleet is not None
    return list(fleet.live)


async def test_every_live_instance_is_seen_with_what_it_said() -> None:
    world = World()
    said = []
    for follower in make_followers(world):
        follower.register()
        follower.version, follower.issuer = 7, "ca-1-1"
        said.append(follower.status())
        await follower.report()

    assert await seen(world) == said


async def test_only_the_newest_status_of_an_instance_counts() -> None:
    world = World()
    follower = Follower(world)
    follower.register()
    for version in (1, 2, 3):
        follower.version = version
        await follower.report()

    assert [s.version for s in await seen(world)] == [3]


@pytest.mark.parametrize(
    ("age", "is_live"),
    [
        pytest.param(DEMO.liveness + DEMO.skew, True, id="three heartbeats by a slow clock"),
        pytest.param(DEMO.liveness + DEMO.skew + TICK, False, id="older than any clock explains"),
        pytest.param(-DEMO.skew, True, id="a tolerated clock that is ahead"),
        pytest.param(-DEMO.skew - TICK, False, id="a clock ahead of what is tolerated"),
    ],
)
async def test_an_instance_is_live_while_its_status_is_young(
    age: timedelta, *, is_live: bool
) -> None:
    world = World()
    follower = Follower(world)
    follower.register()
    await follower.publish(replace(follower.status(), sent_at=world.clock.now() - age))

    assert bool(await seen(world)) is is_live


async def test_while_nats_is_away_nobody_knows() -> None:
    world = World()
    world.bus.is_severed = True

    assert await world.start().fleet.observe() is None


async def test_while_openbao_is_away_nobody_is_believed_by_mistake() -> None:
    world = World()
    follower = Follower(world)
    follower.register()
    await follower.report()
    world.store.failure = SecretStoreError("OpenBao is away")

    with pytest.raises(SecretStoreError):
        await seen(world)


async def test_a_status_is_verified_once() -> None:
    world = World()
    follower = Follower(world)
    follower.register()
    await follower.report()
    fleet = world.start().fleet
    await fleet.observe()
    world.store.failure = SecretStoreError("not asked again")

    observed = await fleet.observe()

    assert observed is not None
    assert len(observed.live) == 1


@pytest.mark.parametrize(
    ("silence_s", "boot_id", "watched_for_s"),
    [
        pytest.param(1.0, "first", 2.0, id="the same process, in time"),
        pytest.param(1.0, "second", 0.0, id="another process"),
        pytest.param(
            DEMO.liveness.total_seconds() + 1, "first", 0.0, id="the same after a long silence"
        ),
    ],
)
async def test_a_watcher_watches_for_as_long_as_it_has_not_been_away(
    silence_s: float, boot_id: str, watched_for_s: float
) -> None:
    world = World()
    gatekeeper, watcher = make_followers(world)
    authority = world.start()
    for follower in (gatekeeper, watcher):
        follower.register()
        await follower.publish(replace(follower.status(), boot_id="first"))
    await authority.fleet.observe()
    await asyncio.sleep(1)
    await watcher.publish(replace(watcher.status(), boot_id="first"))
    await authority.fleet.observe()

    await asyncio.sleep(silence_s)
    await watcher.publish(replace(watcher.status(), boot_id=boot_id))
    fleet = await authority.fleet.observe()

    assert fleet is not None
    assert fleet.watched_for == timedelta(seconds=watched_for_s)


async def test_without_a_watcher_nobody_begins_to_watch() -> None:
    world = World()
    follower = Follower(world)
    follower.register()
    await follower.report()

    fleet = await world.start().fleet.observe()

    assert fleet is not None
    assert fleet.watched_for == timedelta.max


# --- what does not count ------------------------------------------------------------------------

Forgery = Callable[[World], Awaitable[None]]


async def unregistered(world: World) -> None:
    await Follower(world).report()


async def signed_by_a_sibling(world: World) -> None:
    victim, thief = Follower(world), Follower(world, GATEKEEPER, InstanceName("g2"))
    victim.register()
    thief.register()
    forged = await thief.author.sign_bytes(
        documents.signing_input(victim.author.id, status_wire.encode(victim.status())),
        context=contexts.INSTANCE_STATUS,
    )
    await publish_raw(
        world, victim, documents.SignedDocument(body_of(victim), victim.author.id, forged)
    )


async def of_a_sibling_under_ones_own_key(world: World) -> None:
    victim, thief = Follower(world), Follower(world, WATCHER, InstanceName("w1"))
    victim.register()
    thief.register()
    document = await victim.author.sign(body_of(victim), context=contexts.INSTANCE_STATUS)
    await publish_raw(world, thief, document)


async def in_the_name_of_another_than_the_signer(world: World) -> None:
    victim, thief = Follower(world), Follower(world, GATEKEEPER, InstanceName("g2"))
    thief.register()
    await thief.publish(victim.status())


async def signed_as_something_else(world: World) -> None:
    follower = Follower(world)
    follower.register()
    document = await follower.author.sign(body_of(follower), context=contexts.DESIRED_STATE)
    await publish_raw(world, follower, document)


async def changed_after_signing(world: World) -> None:
    follower = Follower(world)
    follower.register()
    document = await follower.author.sign(body_of(follower), context=contexts.INSTANCE_STATUS)
    follower.version = 99
    await publish_raw(world, follower, replace(document, body=body_of(follower)))


async def junk(world: World) -> None:
    key = f"$KV.{STATUS_BUCKET}.gatekeeper.g1"
    await world.bus.publish(key, b"I am well", message_id="junk")


async def under_a_key_that_names_nobody(world: World) -> None:
    follower = Follower(world)
    follower.register()
    document = await follower.author.sign(body_of(follower), context=contexts.INSTANCE_STATUS)
    raw = documents.encode(document)
    await world.bus.publish(f"$KV.{STATUS_BUCKET}.gatekeeper", raw, message_id="odd")


def body_of(follower: Follower) -> bytes:
    return status_wire.encode(follower.status())


async def publish_raw(world: World, under: Follower, document: documents.SignedDocument) -> None:
    key = f"$KV.{STATUS_BUCKET}.{under.service}.{under.instance}"
    await world.bus.publish(key, documents.encode(document), message_id="forged")


@pytest.mark.parametrize(
    ("forgery", "error"),
    [
        pytest.param(unregistered, IdentityError, id="nobody registered it"),
        pytest.param(signed_by_a_sibling, VerificationError, id="a sibling signed it"),
        pytest.param(
            of_a_sibling_under_ones_own_key, IdentityError, id="a sibling's, under another key"
        ),
        pytest.param(
            in_the_name_of_another_than_the_signer,
            MalformedMessageError,
            id="about another than its signer",
        ),
        pytest.param(signed_as_something_else, VerificationError, id="signed as a desired state"),
        pytest.param(changed_after_signing, VerificationError, id="changed after it was signed"),
        pytest.param(junk, MalformedMessageError, id="no document"),
        pytest.param(under_a_key_that_names_nobody, IdentityError, id="under no instance's key"),
    ],
)
async def test_a_forged_status_does_not_count_and_is_reported_once(
    forgery: Forgery, error: type[RejectedError]
) -> None:
    world = World()
    await forgery(world)
    fleet = world.start().fleet

    with capture_logs() as logs:
        first, second = await fleet.observe(), await fleet.observe()

    assert first is not None
    assert second is not None
    assert [*first.live, *second.live] == []
    assert [entry["code"] for entry in logs] == [error.code]


async def test_who_was_refused_and_comes_right_counts_again() -> None:
    world = World()
    await junk(world)
    fleet = world.start().fleet
    await fleet.observe()
    follower = Follower(world)
    follower.register()
    await follower.report()

    observed = await fleet.observe()

    assert observed is not None
    assert [s.instance for s in observed.live] == [follower.instance]


# --- what is heard ------------------------------------------------------------------------------


async def signed(follower: Follower, status: InstanceStatus) -> bytes:
    """Return a status as an instance says it live."""
    document = await follower.author.sign(
        status_wire.encode(status), context=contexts.INSTANCE_STATUS
    )
    return documents.encode(document)


async def test_what_is_said_is_known_although_the_stream_does_not_answer() -> None:
    world = World()
    follower = Follower(world)
    follower.register()
    fleet = world.start().fleet
    world.bus.is_severed = True
    fleet.hear(await signed(follower, replace(follower.status(), version=9)))

    observed = await fleet.observe()

    assert observed is None, "there may be others"
    assert [s.version for s in fleet.heard().live] == [9]


async def test_of_what_is_stored_and_what_is_heard_the_newer_counts() -> None:
    world = World()
    follower = Follower(world)
    follower.register()
    now = world.clock.now()
    await follower.publish(replace(follower.status(), version=5, sent_at=now))
    fleet = world.start().fleet
    for version, ahead in ((4, -1), (6, 1)):
        late = replace(follower.status(), version=version, sent_at=now + timedelta(seconds=ahead))
        fleet.hear(await signed(follower, late))
        observed = await fleet.observe()
        assert observed is not None
        assert [s.version for s in observed.live] == [max(version, 5)]


async def test_what_is_heard_and_not_signed_by_its_instance_does_not_count() -> None:
    world = World()
    follower, thief = Follower(world), Follower(world, GATEKEEPER, InstanceName("g2"))
    follower.register()
    thief.register()
    fleet = world.start().fleet
    thief.author.id = follower.author.id
    fleet.hear(await signed(thief, follower.status()))
    fleet.hear(b"junk")

    with capture_logs() as logs:
        observed = await fleet.observe()

    assert observed is not None
    assert list(observed.live) == []
    assert [e["event"] for e in logs] == ["status.refused"]


async def test_the_listener_hears_every_instance() -> None:
    world = World()
    authority = world.start()
    follower, watcher = make_followers(world)

    await run_for(1, StatusListener(world.bus, authority.fleet), follower, watcher)
    world.bus.is_severed = True

    assert await authority.fleet.observe() is None
    assert {s.service for s in authority.fleet.heard().live} == {GATEKEEPER, WATCHER}
