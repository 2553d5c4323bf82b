"""Every attack on the exchange of bundles, and the code it is refused with: one table.

Metadata's responder and a service's follower are the real ones; what is between them is not.
Whatever a cryptographic check finds has one code on purpose, so some attacks share it.
"""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from services.metadata.domain.key_ledger import EPOCH_SHIFT, KeyLedger
from services.metadata.flows.instance_keys import (
    STRANGERS_AT_ONCE,
    STRANGERS_PER_S,
    RevokedError,
    StrangersRefusedError,
)
from services.metadata.flows.ledger_keeping import LEDGER_PATH
from svc_core.crypto.kem import KemKey
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, InstanceName, Subject
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import identity_path
from svc_core.errors import (
    BundleRollbackError,
    BusError,
    FutureMessageError,
    IdentityError,
    RejectedError,
    ReplayError,
    StaleMessageError,
    SvcError,
    VerificationError,
)
from svc_core.wire import bundle_exchange
from svc_core.wire.bundle_exchange import SignedRequest
from tests.authority import BundleOffice, make_author
from tests.builders import DEMO, NOW, fixed_bytes, make_bundle
from tests.fakes.memory_bus import MemoryBus
from tests.fakes.severable_bus import SeverableBus
from tests.unit.metadata.office import KEM, Office, follower_of, open_office, opened
from tests.unit.metadata.world import ALGORITHM, Follower

Attack = Callable[[Office], Awaitable[str]]
"""Attack, and return the code of the refusal."""
Tap = Callable[[bytes], Awaitable[bytes]]
EPOCH = DEMO.keys.current(NOW).number
MOMENT = timedelta(microseconds=1)
THIEF = KemKey.from_seed(SecretBytes(fixed_bytes("thief", 64)))


class TappedBus(MemoryBus):
    """A bus on which somebody sits who answers requests as a test says."""

    def __init__(self, tap: Tap) -> None:
        super().__init__()
        self._tap = tap

    async def request(self, topic: Subject, payload: bytes, *, timeout: timedelta) -> bytes:
        """Have the one in the middle answer."""
        del topic, timeout
        return await self._tap(payload)


async def pulled(office: Office, tap: Tap) -> str:
    """Return the code with which Gatekeeper refuses what the one in the middle answers."""
    follower, _ = follower_of(office, office.gatekeeper, TappedBus(tap))
    with pytest.raises(RejectedError) as refusal:
        await follower.pull()
    return refusal.value.code


def sibling(office: Office) -> Follower:
    """Return a registered instance of AuthController."""
    other = Follower(office.world, AUTHCONTROLLER, InstanceName("a1"))
    other.register()
    return other


# --- at Metadata --------------------------------------------------------------------------------


async def anothers_bundle_by_its_name(office: Office) -> str:
    victim = sibling(office)
    request = office.request(service=victim.service, instance=victim.instance)
    return await office.refusal(await office.signed(request))


async def anothers_bundle_by_ones_own(office: Office) -> str:
    return await office.refusal(await office.signed(office.request(service=AUTHCONTROLLER)))


async def the_same_request_again(office: Office) -> str:
    raw = await office.signed(office.request())
    assert opened(await office.ask(raw)).service == GATEKEEPER
    return await office.refusal(raw)


async def a_request_kept_for_too_long(office: Office) -> str:
    raw = await office.signed(office.request())
    await asyncio.sleep(DEMO.control_freshness.total_seconds() + 0.001)
    return await office.refusal(raw)


async def a_request_from_the_future(office: Office) -> str:
    sent_at = office.world.clock.now() + DEMO.skew + MOMENT
    return await office.refusal(await office.signed(office.request(sent_at=sent_at)))


async def an_unsigned_request(office: Office) -> str:
    unsigned = SignedRequest(office.request(), b"")
    return await office.refusal(bundle_exchange.encode_request(unsigned))


async def by_a_revoked_service(office: Office) -> str:
    other = sibling(office)
    await office.note(lambda ledger: ledger.without(AUTHCONTROLLER, []))
    request = office.request(service=other.service, instance=other.instance)
    return await office.refusal(await office.signed(request, author=other.author))


async def by_an_identity_from_before_the_revocation(office: Office) -> str:
    other = sibling(office)
    await office.note(
        lambda ledger: ledger.without(AUTHCONTROLLER, [other.instance]).lifted(AUTHCONTROLLER)
    )
    request = office.request(service=other.service, instance=other.instance)
    return await office.refusal(await office.signed(request, author=other.author))


async def a_kem_key_swapped_in_flight(office: Office) -> str:
    signed = bundle_exchange.decode_request(await office.signed(office.request()))
    request = replace(signed.request, kem_public=THIEF.public)
    return await office.refusal(bundle_exchange.encode_request(replace(signed, request=request)))


# --- at the service -----------------------------------------------------------------------------


async def a_fake_metadata(office: Office) -> str:
    fake = BundleOffice(make_author("mallory"), make_bundle(version=1 << 60), office.world.clock)
    return await pulled(office, fake.respond)


async def a_fake_metadata_under_the_pinned_name(office: Office) -> str:
    author = make_author("mallory")
    author.id = office.world.author.id
    fake = BundleOffice(author, make_bundle(version=1 << 60), office.world.clock)
    return await pulled(office, fake.respond)


async def an_earlier_answer(office: Office) -> str:
    earlier = await office.ask(await office.signed(office.request(nonce=fixed_bytes("earlier"))))

    async def again(_raw: bytes) -> bytes:
        return earlier

    return await pulled(office, again)


async def an_answer_to_a_key_swapped_in_flight(office: Office) -> str:
    """Somebody with a registered identity asks under the victim's nonce and passes it on."""
    own = office.request(nonce=b"", kem_public=THIEF.public)

    async def pass_on(raw: bytes) -> bytes:
        asked = bundle_exchange.decode_request(raw).request
        return await office.ask(await office.signed(replace(own, nonce=asked.nonce)))

    return await pulled(office, pass_on)


async def an_older_bundle(office: Office) -> str:
    """Metadata itself, started again from a backup of yesterday."""
    old = await office.world.store.fetch(LEDGER_PATH)
    assert old is not None
    follower, channel = follower_of(office, office.gatekeeper)
    for order in ("this morning", "this evening"):
        await office.note(partial(KeyLedger.rolled, order=order))
        await follower.pull()
    assert channel.version > EPOCH * EPOCH_SHIFT + 1

    office.world.store.put(LEDGER_PATH, old.data)
    office.world.bus = SeverableBus()
    restored = office.world.start_alone()
    follower, fresh = follower_of(office, office.gatekeeper)
    fresh.adopt(channel.ring, channel.version)
    await restored.keys.catch_up()
    async with asyncio.TaskGroup() as group:
        responding = group.create_task(restored.responder.run())
        with pytest.raises(BundleRollbackError) as refusal:
            await follower.pull()
        responding.cancel()
    assert fresh.version == channel.version
    return refusal.value.code


TABLE: list[tuple[Attack, type[SvcError]]] = [
    (anothers_bundle_by_its_name, VerificationError),
    (anothers_bundle_by_ones_own, IdentityError),
    (the_same_request_again, ReplayError),
    (a_request_kept_for_too_long, StaleMessageError),
    (a_request_from_the_future, FutureMessageError),
    (an_unsigned_request, VerificationError),
    (by_a_revoked_service, RevokedError),
    (by_an_identity_from_before_the_revocation, RevokedError),
    (a_kem_key_swapped_in_flight, VerificationError),
    (a_fake_metadata, IdentityError),
    (a_fake_metadata_under_the_pinned_name, VerificationError),
    (an_earlier_answer, VerificationError),
    (an_answer_to_a_key_swapped_in_flight, VerificationError),
    (an_older_bundle, BundleRollbackError),
]


@pytest.mark.parametrize(("attack", "error"), [pytest.param(a, e, id=a.__name__) for a, e in TABLE])
async def test_an_attack_is_refused(attack: Attack, error: type[SvcError]) -> None:
    async with open_office() as office:
        assert await attack(office) == error.code


# --- floods -------------------------------------------------------------------------------------


async def test_a_flood_of_unknown_names_costs_a_bounded_number_of_looks() -> None:
    async with open_office() as office:
        request = office.request(nonce=fixed_bytes("known before"))
        assert opened(await office.ask(await office.signed(request))).service == GATEKEEPER
        before = len(office.world.store.fetched)
        codes = [
            await office.refusal(
                await office.signed(office.request(instance=InstanceName(f"made-up-{n}")))
            )
            for n in range(500)
        ]
        looks = len(office.world.store.fetched) - before

        assert set(codes) == {IdentityError.code, StrangersRefusedError.code}
        assert looks <= STRANGERS_AT_ONCE
        assert codes.count(StrangersRefusedError.code) >= 500 - STRANGERS_AT_ONCE
        # Who is known is answered meanwhile, also when its key has to be read again.
        await asyncio.sleep(31)
        request = office.request(nonce=fixed_bytes("in the flood"))
        assert opened(await office.ask(await office.signed(request))).service == GATEKEEPER


async def test_a_stranger_is_let_in_soon_after_a_flood() -> None:
    async with open_office() as office:
        for n in range(STRANGERS_AT_ONCE + 1):
            request = office.request(instance=InstanceName(f"made-up-{n}"))
            await office.refusal(await office.signed(request))
        late = Follower(office.world, GATEKEEPER, InstanceName("g2"))
        public = b64encode(late.author.public).decode()
        entry = {"algorithm": ALGORITHM.value, "public": public}
        office.world.store.put(identity_path(GATEKEEPER, late.instance), entry)

        async def asks(label: str) -> str:
            request = office.request(instance=late.instance, nonce=fixed_bytes(label))
            return await office.refusal(await office.signed(request, author=late.author))

        assert await asks("at once") == StrangersRefusedError.code
        await asyncio.sleep(1 / STRANGERS_PER_S)
        assert not await asks("a moment later")


async def test_a_flood_under_one_service_does_not_keep_another_out() -> None:
    async with open_office() as office:
        other = sibling(office)
        for n in range(STRANGERS_AT_ONCE + 1):
            request = office.request(instance=InstanceName(f"made-up-{n}"))
            await office.refusal(await office.signed(request))

        request = office.request(service=other.service, instance=other.instance)
        raw = await office.ask(await office.signed(request, author=other.author))

        assert not bundle_exchange.decode_refusal(raw)


async def test_a_client_that_is_refused_hears_the_code() -> None:
    async with open_office() as office:
        await office.note(lambda ledger: ledger.without(GATEKEEPER, []))
        follower, _ = follower_of(office, office.gatekeeper)

        with pytest.raises(BusError, match=RevokedError.code):
            await follower.pull()

    assert KEM.public != THIEF.public


async def test_a_revocation_holds_at_the_next_pull_whoever_was_told_of_it() -> None:
    """By another replica, for instance: this one has not taken over the new rights yet."""
    async with open_office() as office:
        raw = await office.signed(office.request())
        await office.note(lambda ledger: ledger.without(GATEKEEPER, []))

        assert await office.refusal(raw) == RevokedError.code
