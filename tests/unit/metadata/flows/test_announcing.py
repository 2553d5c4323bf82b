"""What is wanted is stored first; NATS hears of it when it can, and only of the newest."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.key_generations import acl_digest
from services.metadata.domain.roots import NO_ROOTS
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.announcing import desired_state, grants_of
from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm
from svc_core.domain.acl import Acl
from svc_core.domain.acl_diff import diff_acls
from svc_core.domain.desired import TopicGrant
from svc_core.domain.identity import GATEKEEPER, METADATA, WATCHER, Deployment, Subject
from svc_core.domain.nats_accounts import render_accounts
from svc_core.domain.subjects import (
    AUTH_REQUEST,
    CA_CERT,
    DESIRED_PATH,
    DURABLES,
    LEAST_STREAM_BYTES,
    RESPONDER,
    declared_streams,
)
from svc_core.errors import SecretStoreError
from svc_core.flows.statements import Statements
from svc_core.wire import desired as desired_wire
from svc_core.wire import documents
from svc_core.wire.identities import PublicIdentity
from tests.builders import DEMO, NOW, make_desired
from tests.unit.metadata.acls import ACL
from tests.unit.metadata.journals import ca, make_issuer, make_journal
from tests.unit.metadata.world import World, after, run_for
from tests.unit.svc_core.domain.acl_examples import acls


def said(world: World) -> list[int]:
    """Return the versions that were announced on NATS, in order."""
    raws = [documents.decode(message.payload) for message in world.bus.stored(CA_CERT)]
    return [desired_wire.decode(document.body).version for document in raws]


async def test_a_state_is_stored_then_announced_and_own_loops_are_told() -> None:
    world = World()
    authority = world.start()

    await authority.announcer.store(make_desired(version=1))
    assert [state.version for state in world.desired] == [1]
    assert said(world) == []
    assert await authority.own_follower.wait(0.1)

    await run_for(0.1, authority.announcer)
    assert said(world) == [1]


async def test_what_is_stored_and_what_is_announced_is_the_same_signed_document() -> None:
    world = World()
    announcer = world.start().announcer
    await announcer.store(make_desired())
    await run_for(0.1, announcer)

    stored = await world.store.fetch(DESIRED_PATH)

    assert stored is not None
    document = documents.decode_entry(stored.data)
    assert documents.decode(world.bus.stored(CA_CERT)[0].payload) == document
    pinned = PublicIdentity(world.author.id, Algorithm.ML_DSA_87, world.author.public)
    body = await Statements([pinned]).verified(document, context=contexts.DESIRED_STATE)
    assert desired_wire.decode(body) == make_desired()


async def test_while_nats_is_away_it_is_stored_and_the_newest_is_announced_afterwards() -> None:
    world = World()
    announcer = world.start().announcer
    world.bus.is_severed = True
    for version in (1, 2, 3):
        await announcer.store(make_desired(version=version))
    await run_for(5, announcer)
    assert [state.version for state in world.desired] == [1, 2, 3]

    world.bus.is_severed = False
    await run_for(1.5, announcer)

    assert said(world) == [3]


async def test_a_state_wakes_the_loop() -> None:
    world = World()
    announcer = world.start().announcer
    await announcer.store(make_desired(version=1))

    async with asyncio.TaskGroup() as group:
        running = group.create_task(announcer.run())
        await asyncio.sleep(0.3)
        await announcer.store(make_desired(version=2))
        await asyncio.sleep(0.001)
        running.cancel()

    assert said(world) == [1, 2]


async def test_a_state_that_could_not_be_stored_is_not_announced() -> None:
    world = World()
    announcer = world.start().announcer
    world.store.failure = SecretStoreError("OpenBao is away")
    with pytest.raises(SecretStoreError):
        await announcer.store(make_desired())
    world.store.failure = None

    await run_for(2, announcer)

    assert (world.desired, said(world)) == ([], [])


async def test_a_state_is_announced_once_by_one_process_and_again_by_the_next() -> None:
    world = World()
    for _ in range(2):
        announcer = world.start().announcer
        await announcer.store(make_desired(version=5))
        await run_for(5, announcer)

    assert said(world) == [5, 5]


async def test_who_holds_the_lease_again_announces_under_its_own_signature_again() -> None:
    world = World()
    first, second = world.start().announcer, world.start().announcer
    for holder, state in (
        (first, make_desired(version=5)),
        (second, make_desired(version=5, made_at=NOW + timedelta(seconds=1))),
        (first, make_desired(version=5, made_at=NOW + timedelta(seconds=2))),
    ):
        await holder.store(state)
        await run_for(5, holder)

    assert said(world) == [5, 5, 5]
    stored = await world.store.fetch(DESIRED_PATH)
    assert stored is not None
    announced = documents.decode(world.bus.stored(CA_CERT)[-1].payload)
    assert announced == documents.decode_entry(stored.data)


async def test_streams_are_declared_once_as_soon_as_nats_is_there() -> None:
    world = World(streams=declared_streams(LEAST_STREAM_BYTES))
    announcer = world.start().announcer
    world.bus.is_severed = True
    after(3, lambda: setattr(world.bus, "is_severed", False))

    await run_for(10, announcer)

    assert world.declaration.declared == [(world.streams, len(DURABLES), 3)]


def test_the_grants_are_those_of_the_acl_in_one_order() -> None:
    grants = grants_of(ACL)

    assert list(grants) == sorted(ACL.services)
    assert grants[GATEKEEPER] == TopicGrant((AUTH_REQUEST,), (RESPONDER,))
    assert grants[WATCHER] == TopicGrant((), ())


@given(acls)
def test_what_the_grants_leave_out_is_in_nobodys_permissions(acl: Acl) -> None:
    whole = {s: TopicGrant(tuple(p.publish), tuple(p.subscribe)) for s, p in acl.services.items()}

    assert render_accounts(grants_of(acl), Deployment()) == render_accounts(whole, Deployment())


@given(acls, acls)
def test_other_grants_are_other_users_and_another_digest(before: Acl, after: Acl) -> None:
    grants, grants_after = grants_of(before), grants_of(after)
    changed = {
        service
        for service in {*grants, *grants_after}
        if grants.get(service) != grants_after.get(service)
    }

    # Metadata has a user whatever the manifest says.
    users = diff_acls(before, after).nats_users
    assert changed - {METADATA} == set(users) - {METADATA}
    assert not changed or acl_digest(before) != acl_digest(after)


def test_the_state_of_ten_thousand_topics_is_no_larger_than_that_of_two() -> None:
    many = frozenset(Subject(f"scale.topic-{number}") for number in range(10_000))
    mine = ACL.services[GATEKEEPER]
    acl = Acl({**ACL.services, GATEKEEPER: replace(mine, publish=mine.publish | many)})

    assert grants_of(acl) == grants_of(ACL)
    assert acl_digest(acl) != acl_digest(ACL)


async def test_the_desired_state_says_what_the_journal_implies() -> None:
    world = World()
    journal = make_journal(
        make_issuer(IssuerState.DRAINING, version=4),
        make_issuer(IssuerState.ACTIVE, 1, version=4),
        make_issuer(IssuerState.RETIRED, -1),
        make_issuer(IssuerState.PLANNED, 2),
        kicked=(ca(),),
    )

    now = world.clock.now()
    roots = NO_ROOTS.adopted(pem="root\n", key="k", not_after=now + DEMO.root_validity, now=now)

    state = desired_state(replace(journal, version=9, roots=roots), AclSource(ACL), world.around)

    assert (state.version, state.active, state.kicked_issuers) == (9, ca(1), (ca(),))
    assert [issuer.name for issuer in state.issuers] == [ca(1), ca()]
    assert (state.root_pem, state.profile) == ("root\n", "demo")
    assert state.made_at == world.clock.now()


async def test_without_an_active_issuer_nothing_is_wanted() -> None:
    with pytest.raises(ValueError, match="without an active issuer"):
        desired_state(Journal(), AclSource(ACL), World().around)


async def test_a_state_that_is_not_acknowledged_does_not_keep_back_the_next() -> None:
    world = World()
    announcer = world.start().announcer
    sent: list[str] = []
    hang = asyncio.Event()

    async def unanswered(topic: str, payload: bytes, *, message_id: str, **_: str) -> bool:
        sent.append(message_id)
        return await hang.wait()

    world.bus.publish = unanswered  # type: ignore[method-assign]
    await announcer.store(make_desired(version=1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(announcer.run())
        await asyncio.sleep(0.5)
        await announcer.store(make_desired(version=2))
        await asyncio.sleep(1.0)
        running.cancel()

    assert [message_id.split(".")[1] for message_id in sent] == ["1", "2"]
