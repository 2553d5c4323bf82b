"""A bundle goes to who it is for and to nobody else; every attack has a refusal of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import cycle

import pytest

from services.metadata.domain.key_generations import data_topics
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.bundle_assembling import BundleOverLimitError, encode_bundle
from services.metadata.flows.key_reading import KeysNotReadyError
from svc_core.crypto import contexts
from svc_core.crypto.kem import KemKey
from svc_core.domain.acl import acl_from_roles
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    GATEKEEPER,
    WATCHER,
    InstanceName,
    ServiceName,
    Subject,
)
from svc_core.domain.keys import KeyRing
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import AUTH_REQUEST, identity_path
from svc_core.errors import (
    FutureMessageError,
    IdentityError,
    MalformedMessageError,
    PermissionDeniedError,
    ReplayError,
    SecretStoreError,
    StaleMessageError,
    SvcError,
    UnknownKeyError,
    VerificationError,
)
from svc_core.wire import bundle_exchange
from tests.builders import DEMO, NOW, fixed_bytes, make_bundle
from tests.unit.metadata.acls import ACL, KNOWN, roles
from tests.unit.metadata.office import Office, follower_of, open_office, opened
from tests.unit.metadata.world import Authority, Follower, World, run_for

EPOCH = DEMO.keys.current(NOW).number


async def test_two_services_that_pulled_understand_each_other() -> None:
    async with open_office() as office:
        authcontroller = Follower(office.world, AUTHCONTROLLER, InstanceName("a1"))
        authcontroller.register()
        pulls, sender = follower_of(office, office.gatekeeper)
        other_pulls, taker = follower_of(office, authcontroller)

        await pulls.pull()
        await other_pulls.pull()

        raw = await sender.seal(AUTH_REQUEST, b"hello", message_type="t", message_id="m-1")
        assert (await taker.open(raw, AUTH_REQUEST)).payload == b"hello"
        assert sender.version == taker.version == EPOCH * 1_000_000 + 1


async def test_a_bundle_holds_what_its_service_may_have_and_lives_four_periods() -> None:
    async with open_office() as office:
        bundle = opened(await office.ask(await office.signed(office.request())))

    assert (bundle.service, bundle.key_epoch, bundle.profile) == (GATEKEEPER, EPOCH, DEMO.name)
    assert bundle.expires_at == DEMO.keys.expires(DEMO.keys.current(NOW))
    assert {topic for topic, _ in bundle.ring.topics} == data_topics(ACL)
    assert set(bundle.ring.signing) == {EPOCH}
    assert {service for service, _ in bundle.ring.verify} == {AUTHCONTROLLER}


async def test_the_version_grows_with_the_keys() -> None:
    world = World()
    authority, gatekeeper = world.start_alone(), Follower(world)
    gatekeeper.register()
    office = Office(world, gatekeeper)
    versions: list[int] = []
    for _ in range(3):
        await run_for(DEMO.keys.period.total_seconds(), authority.keys)
        async with asyncio.TaskGroup() as group:
            responding = group.create_task(authority.responder.run())
            await asyncio.sleep(0)
            nonce = fixed_bytes(str(len(versions)))
            raw = await office.ask(await office.signed(office.request(nonce=nonce)))
            versions.append(opened(raw).version)
            responding.cancel()

    assert versions == sorted(set(versions))


@asynccontextmanager
async def answered_by(*authorities: Authority) -> AsyncIterator[None]:
    """Have one or several replicas answer."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(a.responder.run()) for a in authorities]
        await asyncio.sleep(0)
        yield
        for task in tasks:
            task.cancel()


async def test_a_replica_that_stands_by_answers_with_what_is_stored() -> None:
    world = World()
    holder, other = world.start_alone(), world.start("metadata-2", term=lambda: None)
    gatekeeper = Follower(world)
    gatekeeper.register()
    office = Office(world, gatekeeper)
    rings: list[tuple[int, list[bytes]]] = []
    await run_for(0.1, holder.keys)
    for authority in (holder, other):
        async with answered_by(authority):
            request = office.request(nonce=fixed_bytes(str(len(rings))))
            bundle = opened(await office.ask(await office.signed(request)))
            rings.append((bundle.version, [k.secret.reveal() for k in bundle.ring.topics.values()]))

    assert rings[0] == rings[1]
    assert len(rings[0][1]) == 2


async def test_a_replica_that_stands_by_gives_no_keys_by_rights_that_are_not_the_ledgers() -> None:
    world = World()
    holder, gatekeeper = world.start_alone(), Follower(world)
    gatekeeper.register()
    await run_for(0.1, holder.keys)
    changed = roles()
    changed[GATEKEEPER]["subscribe"].append(AUTH_REQUEST)
    world.acls = AclSource(acl_from_roles(changed, known=KNOWN)[0])
    other, office = world.start("metadata-2", term=lambda: None), Office(world, gatekeeper)

    async with answered_by(other):
        code = await office.refusal(await office.signed(office.request()))

    assert code == KeysNotReadyError.code


async def test_a_replica_that_stands_by_gives_nothing_once_the_ledger_is_of_other_rights() -> None:
    world = World()
    holder, ours = world.start_alone(), world.acls
    world.acls = AclSource(ours.current)
    other, gatekeeper = world.start("metadata-2", term=lambda: None), Follower(world)
    gatekeeper.register()
    office = Office(world, gatekeeper)
    await holder.keys.catch_up()
    await other.keys.catch_up()
    changed = roles()
    changed[GATEKEEPER]["subscribe"].append(AUTH_REQUEST)
    ours.replace(acl_from_roles(changed, known=KNOWN)[0])
    await holder.keys.catch_up()

    async with answered_by(other):
        assert await office.refusal(await office.signed(office.request())) == KeysNotReadyError.code

        world.acls.replace(ours.current)
        request = office.request(nonce=fixed_bytes("again"))
        assert not await office.refusal(await office.signed(request))


def test_a_bundle_of_more_keys_than_one_may_hold_says_so() -> None:
    bundle = make_bundle()
    long = "a" * 100
    topics = [
        replace(key, topic=Subject(f"{long}.{n}"), key_id=f"{long}.{n}-epoch-{EPOCH}")
        for n, key in zip(range(10_000), cycle(bundle.ring.topics.values()), strict=False)
    ]
    ring = KeyRing.of(
        GATEKEEPER, signing=[], verify=[], topics=topics, permissions=[], producers={}
    )

    with pytest.raises(BundleOverLimitError, match="gatekeeper"):
        encode_bundle(replace(bundle, ring=ring))


# --- what is refused, and how -------------------------------------------------------------------

Attack = Callable[[Office], Awaitable[bytes]]


async def under_anothers_name(office: Office) -> bytes:
    """A service of the ACL asks for another's keys, under its own instance name and key."""
    return await office.signed(office.request(service=AUTHCONTROLLER))


async def under_anothers_registered_name(office: Office) -> bytes:
    victim = Follower(office.world, AUTHCONTROLLER, InstanceName("a1"))
    victim.register()
    return await office.signed(office.request(service=AUTHCONTROLLER, instance=victim.instance))


async def from_another_instance(office: Office) -> bytes:
    other = Follower(office.world, GATEKEEPER, InstanceName("g2"))
    other.register()
    return await office.signed(office.request(), author=other.author)


async def from_an_unknown_instance(office: Office) -> bytes:
    return await office.signed(office.request(instance=InstanceName("g9")))


async def from_outside_the_acl(office: Office) -> bytes:
    stranger = Follower(office.world, ServiceName("stranger"), InstanceName("s1"))
    stranger.register()
    request = office.request(service=stranger.service, instance=stranger.instance)
    return await office.signed(request, author=stranger.author)


async def replayed(office: Office) -> bytes:
    raw = await office.signed(office.request())
    assert opened(await office.ask(raw)).service == GATEKEEPER
    return raw


async def with_a_used_nonce(office: Office) -> bytes:
    await office.ask(await office.signed(office.request()))
    await asyncio.sleep(1)
    return await office.signed(office.request())


async def too_old(office: Office) -> bytes:
    sent_at = NOW - DEMO.control_freshness
    return await office.signed(office.request(sent_at=sent_at))


async def from_the_future(office: Office) -> bytes:
    sent_at = office.world.clock.now() + DEMO.skew + timedelta(microseconds=1)
    return await office.signed(office.request(sent_at=sent_at))


async def signed_as_something_else(office: Office) -> bytes:
    return await office.signed(office.request(), context=contexts.INSTANCE_STATUS)


async def changed_after_signing(office: Office) -> bytes:
    signed = bundle_exchange.decode_request(await office.signed(office.request()))
    other_kem = KemKey.from_seed(SecretBytes(fixed_bytes("thief", 64)))
    request = replace(signed.request, kem_public=other_kem.public)
    return bundle_exchange.encode_request(replace(signed, request=request))


async def under_a_key_that_is_no_key(office: Office) -> bytes:
    return await office.signed(office.request(kem_public=b"\xff" * 1568))


async def no_request(office: Office) -> bytes:
    del office
    return b"give me the keys"


ATTACKS = [
    pytest.param(under_anothers_name, IdentityError, id="another service's name, own key"),
    pytest.param(
        under_anothers_registered_name, VerificationError, id="another instance's name, own key"
    ),
    pytest.param(from_another_instance, VerificationError, id="signed by a sibling"),
    pytest.param(from_an_unknown_instance, IdentityError, id="an instance nobody registered"),
    pytest.param(from_outside_the_acl, PermissionDeniedError, id="registered, not in the ACL"),
    pytest.param(replayed, ReplayError, id="the same request twice"),
    pytest.param(with_a_used_nonce, ReplayError, id="a fresh request with a used nonce"),
    pytest.param(too_old, StaleMessageError, id="too old"),
    pytest.param(from_the_future, FutureMessageError, id="from the future"),
    pytest.param(signed_as_something_else, VerificationError, id="signed as a status"),
    pytest.param(changed_after_signing, VerificationError, id="the thief's KEM key put in"),
    pytest.param(under_a_key_that_is_no_key, VerificationError, id="a KEM key that is none"),
    pytest.param(no_request, MalformedMessageError, id="no request at all"),
]


@pytest.mark.parametrize(("attack", "error"), ATTACKS)
async def test_an_attack_is_refused_with_a_code_of_its_own(
    attack: Attack, error: type[SvcError]
) -> None:
    async with open_office() as office:
        assert await office.refusal(await attack(office)) == error.code
        # The next honest request is answered all the same.
        request = office.request(nonce=fixed_bytes("another nonce"))
        assert opened(await office.ask(await office.signed(request))).service == GATEKEEPER


async def test_the_oldest_and_the_newest_clock_that_are_tolerated_are_answered() -> None:
    async with open_office() as office:
        now = office.world.clock.now()
        for label, sent_at in (
            ("late", now - DEMO.control_freshness),
            ("early", now + DEMO.skew),
        ):
            request = office.request(sent_at=sent_at, nonce=fixed_bytes(label))
            assert not await office.refusal(await office.signed(request))


async def test_a_nonce_is_remembered_for_as_long_as_its_request_is_fresh() -> None:
    async with open_office() as office:
        raw = await office.signed(office.request(sent_at=office.world.clock.now() + DEMO.skew))
        assert not await office.refusal(raw)

        await asyncio.sleep((DEMO.skew + DEMO.control_freshness).total_seconds() - 0.001)
        assert await office.refusal(raw) == ReplayError.code

        await asyncio.sleep(0.002)
        assert await office.refusal(raw) == StaleMessageError.code


async def test_before_the_first_keys_there_is_nothing_to_give() -> None:
    async with open_office(with_keys=False) as office:
        assert await office.refusal(await office.signed(office.request())) == UnknownKeyError.code


async def test_a_service_that_left_the_acl_gets_nothing_from_then_on() -> None:
    async with open_office() as office:
        changed = roles()
        del changed[GATEKEEPER]
        acl, _ = acl_from_roles(changed, known=KNOWN)

        office.world.acls.replace(acl)

        code = await office.refusal(await office.signed(office.request()))
        assert code == PermissionDeniedError.code


async def test_an_instance_that_registers_late_is_known_soon_after() -> None:
    async with open_office() as office:
        late = Follower(office.world, GATEKEEPER, InstanceName("g2"))

        async def asks(label: str) -> str:
            request = office.request(instance=late.instance, nonce=fixed_bytes(label))
            return await office.refusal(await office.signed(request, author=late.author))

        assert await asks("too early") == IdentityError.code
        late.register()
        assert await asks("still remembered as unknown") == IdentityError.code
        await asyncio.sleep(2.1)
        assert not await asks("known")


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({"algorithm": "RSA", "public": "AAAA"}, id="another algorithm"),
        pytest.param({"algorithm": "ML-DSA-44", "public": "AAAA"}, id="a key that is too short"),
        pytest.param({"algorithm": "ML-DSA-44", "public": "&"}, id="no base64"),
        pytest.param({}, id="nothing"),
    ],
)
async def test_a_registration_that_cannot_be_used_is_none(entry: dict[str, str]) -> None:
    async with open_office() as office:
        path = identity_path(GATEKEEPER, office.gatekeeper.instance)
        office.world.store.put(path, entry)

        code = await office.refusal(await office.signed(office.request()))
        assert code == IdentityError.code


async def test_while_openbao_is_away_the_answer_says_so() -> None:
    async with open_office() as office:
        office.world.store.failure = SecretStoreError("OpenBao is away")

        code = await office.refusal(await office.signed(office.request()))

        assert code == SecretStoreError.code


async def test_watcher_gets_a_bundle_without_a_single_key() -> None:
    async with open_office() as office:
        watcher = Follower(office.world, WATCHER, InstanceName("w1"))
        watcher.register()
        request = office.request(service=WATCHER, instance=watcher.instance)

        bundle = opened(await office.ask(await office.signed(request, author=watcher.author)))

    assert (dict(bundle.ring.topics), dict(bundle.ring.signing)) == ({}, {})
