"""Keys come before they are needed, from the pinned authority, for this pull, never older."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

import pytest

from svc_core.domain.bundle import ServiceBundle
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, InstanceName
from svc_core.domain.subjects import AUTH_REQUEST
from svc_core.errors import (
    BundleExpiredError,
    BundleRecipientError,
    BundleRollbackError,
    BusError,
    IdentityError,
    MalformedMessageError,
    ProfileMismatchError,
    SvcError,
    VerificationError,
)
from svc_core.flows.bundle_following import BundleFollower, Recipient
from svc_core.flows.secure_channel import SecureChannel
from svc_core.ports.bus import Responder
from svc_core.runtime.supervision import run_until
from svc_core.wire import bundle_exchange
from tests.authority import (
    Authority,
    BundleOffice,
    make_author,
    without_threads,
)
from tests.builders import (
    DEMO,
    NOW,
    InlineExecutor,
    KeyAuthority,
    fixed_bytes,
    make_bundle,
    make_surroundings,
)

ME = InstanceName("gatekeeper-1")
PERIOD_S = DEMO.keys.period.total_seconds()
LEAD_S = DEMO.keys.lead.total_seconds()


class World:
    """One gatekeeper that pulls, and the office that answers it."""

    def __init__(self) -> None:
        self.authority = Authority()
        self.office = BundleOffice(self.authority.author, make_bundle(), self.authority.clock)
        clock = self.authority.clock
        self.channel = SecureChannel(make_surroundings(clock), GATEKEEPER, InlineExecutor())
        self.around = make_surroundings(clock)
        self.follower = BundleFollower(
            Recipient(GATEKEEPER, ME, make_author("gatekeeper/gatekeeper-1")),
            self.authority.bus,
            self.channel,
            self.authority.statements,
            self.around,
        )

    def answered(self, responder: Responder | None = None) -> AbstractAsyncContextManager[None]:
        """Have pulls answered by the office, or by ``responder``."""
        return self.office.answering(self.authority.bus, responder)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Run the follower meanwhile."""
        stop = asyncio.Event()
        async with self.answered(), asyncio.TaskGroup() as group:
            group.create_task(run_until(stop, [self.follower]))
            try:
                yield
            finally:
                stop.set()


@pytest.fixture
async def world() -> World:
    without_threads()
    return World()


def made_now(world: World, *, version: int) -> ServiceBundle:
    """Return the bundle the authority would have made by now, with the next keys in the lead."""
    now = world.authority.clock.now()
    due = DEMO.keys.due(now)
    epochs = [epoch for epoch in KeyAuthority().epochs(now) if epoch <= due]
    ring = KeyAuthority().ring(GATEKEEPER, now=now, epochs=epochs)
    return make_bundle(version=version, now=now, ring=ring, key_epoch=due.number)


async def test_a_pulled_bundle_seals_messages(world: World) -> None:
    async with world.answered():
        await world.follower.pull()

    assert world.channel.version == 7
    assert await world.channel.seal(AUTH_REQUEST, b"hi", message_type="t", message_id="i")


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong with an answer, and the code it is refused with."""

    error: type[SvcError]
    bundle: ServiceBundle | None = None
    instance: InstanceName | None = None
    nonce: bytes = b""
    stated_version: int | None = None
    signer: str = "metadata-1"
    claimed: str = ""


WRONG = {
    "wrong nonce": Wrong(VerificationError, nonce=fixed_bytes("an earlier nonce")),
    "other instance": Wrong(BundleRecipientError, instance=InstanceName("gatekeeper-2")),
    "other service": Wrong(BundleRecipientError, bundle=make_bundle(AUTHCONTROLLER)),
    "unpinned signer": Wrong(IdentityError, signer="mallory"),
    "forged signer": Wrong(VerificationError, signer="mallory", claimed="metadata-1"),
    "version swapped": Wrong(VerificationError, stated_version=8),
    "older version": Wrong(BundleRollbackError, bundle=make_bundle(version=6)),
    "other profile": Wrong(ProfileMismatchError, bundle=make_bundle(profile="production")),
    "expired": Wrong(
        BundleExpiredError, bundle=make_bundle(expires_at=NOW - timedelta(microseconds=1))
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_an_answer_that_is_wrong_is_refused_and_the_keys_stay(
    world: World, wrong: Wrong
) -> None:
    async with world.answered():
        await world.follower.pull()
        author = make_author(wrong.signer)
        author.id = wrong.claimed or wrong.signer
        world.office.author = author
        world.office.bundle = wrong.bundle or make_bundle(version=9)
        world.office.instance, world.office.nonce = wrong.instance, wrong.nonce
        world.office.stated_version = wrong.stated_version

        with pytest.raises(wrong.error) as refusal:
            await world.follower.pull()

    assert refusal.value.code == wrong.error.code
    assert world.channel.version == 7


async def test_an_answer_changed_on_its_way_is_refused(world: World) -> None:
    async def flip(raw: bytes) -> bytes:
        reply = bundle_exchange.decode_reply(await world.office.respond(raw))
        sealed = reply.sealed[:-1] + bytes([reply.sealed[-1] ^ 1])
        return bundle_exchange.encode_reply(replace(reply, sealed=sealed))

    async with world.answered(flip):
        with pytest.raises(VerificationError):
            await world.follower.pull()


async def test_an_answer_that_is_none_is_refused(world: World) -> None:
    async def mumble(_raw: bytes) -> bytes:
        return b"A1 mumble"

    async with world.answered(mumble):
        with pytest.raises(MalformedMessageError):
            await world.follower.pull()


async def test_a_refusal_says_its_code(world: World) -> None:
    async def refuse(_raw: bytes) -> bytes:
        return bundle_exchange.encode_refusal("topic.permission_denied")

    async with world.answered(refuse):
        with pytest.raises(BusError, match=r"topic\.permission_denied"):
            await world.follower.pull()


async def test_every_pull_is_under_a_key_and_nonce_of_its_own(world: World) -> None:
    asked = []

    async def note(raw: bytes) -> bytes:
        asked.append(bundle_exchange.decode_request(raw).request)
        return await world.office.respond(raw)

    async with world.answered(note):
        await world.follower.pull()
        await world.follower.pull()

    assert asked[0].kem_public != asked[1].kem_public
    assert asked[0].nonce != asked[1].nonce


async def test_one_pull_lies_in_the_middle_of_every_lead(world: World) -> None:
    boundaries = 40
    async with world.following():
        for version in range(8, 8 + boundaries * 10):
            await asyncio.sleep(PERIOD_S / 10)
            world.office.bundle = made_now(world, version=version)

    first, *pulls = world.office.pulled_at
    before_boundary = [PERIOD_S - at % PERIOD_S for at in pulls]
    assert first == 0
    assert len(pulls) == pytest.approx(boundaries, abs=1)
    assert all(LEAD_S / 4 <= left <= LEAD_S * 3 / 4 for left in before_boundary)
    assert len({round(left, 2) for left in before_boundary}) > boundaries / 2
    assert all(before < after for before, after in pairwise(pulls))


async def test_a_pull_that_brought_no_next_keys_is_repeated_before_the_boundary(
    world: World,
) -> None:
    async with world.following():
        await asyncio.sleep(PERIOD_S)

        in_the_lead = [at for at in world.office.pulled_at if PERIOD_S - LEAD_S < at < PERIOD_S]
        assert 2 <= len(in_the_lead) <= 8


async def test_a_hint_pulls_at_once(world: World) -> None:
    async with world.following():
        await asyncio.sleep(1)
        world.office.bundle = make_bundle(version=8)
        world.follower.hinted.set()
        await asyncio.sleep(0.01)

        assert world.channel.version == 8
        assert await world.follower.adopted.wait(0)


@pytest.mark.parametrize("bundle", [make_bundle(version=6), make_bundle(AUTHCONTROLLER)])
async def test_an_answer_refused_by_the_loop_ends_no_process(
    world: World, bundle: ServiceBundle
) -> None:
    async with world.following():
        await asyncio.sleep(1)
        world.office.bundle = bundle
        world.follower.hinted.set()
        await asyncio.sleep(2)
        assert world.channel.version == 7

        world.office.bundle = make_bundle(version=8)
        await asyncio.sleep(6)

        assert world.channel.version == 8


async def test_an_authority_that_is_away_is_asked_again(world: World) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until(stop, [world.follower]))
        await asyncio.sleep(10)
        assert world.channel.version == 0
        async with world.answered():
            await asyncio.sleep(10)
            stop.set()

    assert world.channel.version == 7


async def test_another_profile_ends_the_process(world: World) -> None:
    world.office.bundle = make_bundle(profile="production")
    async with world.answered():
        with pytest.raises(ProfileMismatchError, match="'demo' here but 'production'"):
            await run_until(asyncio.Event(), [world.follower])
