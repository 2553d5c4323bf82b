"""Commands about keys and services, with the whole authority at work and services that follow."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from services.metadata.flows.access_ending import AccessEnding
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.adoption import Adoption
from services.metadata.flows.instance_keys import RevokedError
from services.metadata.flows.revocation import KeyOrders, OrderTools
from svc_core.crypto.signing import Algorithm
from svc_core.domain.acl import Acl, acl_from_roles
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    GATEKEEPER,
    METADATA,
    WATCHER,
    InstanceName,
    ServiceName,
    Subject,
)
from svc_core.domain.operator_command import (
    REVOKE,
    ROTATE_KEYS,
    UNREVOKE,
    CommandRefusedError,
    CommandUnknownError,
    OperatorCommand,
)
from svc_core.domain.status import InstanceStatus
from svc_core.domain.subjects import AUTH_REQUEST, BUNDLES_PATH, RESPONDER
from svc_core.errors import SvcError
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.statements import Statements
from svc_core.runtime.supervision import run_until
from svc_core.wire.identities import PublicIdentity
from tests.builders import DEMO, NOW, fixed_bytes
from tests.fakes.memory_access import MemoryAccess, MemoryTokens
from tests.unit.metadata.acls import ACL, KNOWN, make_acl, roles
from tests.unit.metadata.office import Office, opened, recovery_of
from tests.unit.metadata.world import Authority, Follower, World

EPOCH = DEMO.keys.current(NOW).number
WITHIN_S = 2.0
"""Of the time of the test: followers report twice a second."""


@dataclass
class Adopter(Follower):
    """A service that says which bundle it uses: the newest, unless it has stopped following."""

    authority: Authority | None = None
    is_adopting: bool = True

    def status(self) -> InstanceStatus:
        """Return the status as of now."""
        keys = self.authority.keys if self.authority else None
        version = keys.snapshot.version if keys and keys.snapshot and self.is_adopting else 0
        return replace(super().status(), bundle_version=version)


@dataclass
class Deployment:
    """An authority at work, two services and Watcher, and the way to give orders."""

    world: World = field(default_factory=World)
    access: MemoryAccess = field(default_factory=MemoryAccess)
    progress: list[Mapping[str, Any]] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None
    """Done whenever progress is noted."""

    def __post_init__(self) -> None:
        self.authority = self.world.start()
        self.gatekeeper = Adopter(self.world, authority=self.authority)
        self.authcontroller = Adopter(
            self.world, AUTHCONTROLLER, InstanceName("a1"), authority=self.authority
        )
        self.watcher = Follower(self.world, WATCHER, InstanceName("w1"))
        for owner, name in ((GATEKEEPER, "g"), (AUTHCONTROLLER, "a")):
            self.access.secret_ids.add((owner, name))
            self.access.tokens.add((owner, name))
        author = self.world.author
        pinned = PublicIdentity(author.id, Algorithm.ML_DSA_87, author.public)
        reader = DesiredReader(self.world.store, self.world.bus, Statements([pinned]), DEMO.name)
        self.orders = KeyOrders(
            self.authority.ledgers,
            self.authority.keys,
            self.authority.instances,
            OrderTools(
                AccessEnding(self.access, MemoryTokens(self.access)),
                self.authority.bundles,
                Adoption(self.authority.fleet, reader, self.world.around),
            ),
            KNOWN,
        )

    async def order(self, kind: str, service: str = "", *, name: str = "c-1") -> Mapping[str, Any]:
        """Give an order and return its outcome."""
        now = self.world.clock.now()
        arguments = {"service": service} if service else {}
        command = OperatorCommand(name, kind, arguments, now, now + timedelta(minutes=1))
        return await self.orders.kinds[kind](command, self._note)

    async def _note(self, outcome: Mapping[str, Any]) -> None:
        self.progress.append(dict(outcome))
        self.meanwhile()

    @property
    def office(self) -> Office:
        """The desk where bundles are asked for."""
        return Office(self.world, self.gatekeeper)

    async def asks(self, instance: Follower, label: str) -> bytes:
        """Return what Metadata answers to a pull of ``instance``."""
        request = self.office.request(
            service=instance.service, instance=instance.instance, nonce=fixed_bytes(label)
        )
        return await self.office.ask(await self.office.signed(request, author=instance.author))

    async def refusal(self, instance: Follower, label: str) -> str:
        """Return the code with which a pull is refused; empty when it is answered."""
        return _code(await self.asks(instance, label))

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator["Deployment"]:
        """Run everybody, until the first issuer is in use."""
        stop = asyncio.Event()
        loops = [*self.authority.loops, self.gatekeeper, self.authcontroller, self.watcher]
        async with asyncio.TaskGroup() as group:
            group.create_task(run_until(stop, loops))
            await asyncio.sleep(5)
            yield self
            stop.set()


def _code(raw: bytes) -> str:
    return raw[2:].decode() if raw.startswith(b"N1") else ""


async def test_rotated_keys_are_named_and_everybody_says_when_it_has_them() -> None:
    async with Deployment().at_work() as deployment:
        before = deployment.authority.keys.snapshot
        outcome = await deployment.order(ROTATE_KEYS)

    assert before is not None
    assert outcome["bundle_version"] == before.version + 1
    assert outcome["topic_keys"] == {
        topic: [f"{topic}-epoch-{EPOCH}.1"] for topic in (AUTH_REQUEST, RESPONDER)
    }
    assert set(outcome["adoption"]["adopted"]) == {"gatekeeper/g1", "authcontroller/a1"}
    assert (outcome["adoption"]["observed"], outcome["adoption"]["waiting"]) == (True, [])
    assert deployment.progress[0].keys() == {"bundle_version", "topic_keys"}


async def test_of_many_topics_the_first_are_named_and_the_others_counted() -> None:
    many = {Subject(f"scale.topic-{number:04}") for number in range(250)}
    mine = ACL.services[GATEKEEPER]
    async with Deployment().at_work() as deployment:
        deployment.world.acls.replace(
            Acl({**ACL.services, GATEKEEPER: replace(mine, publish=mine.publish | many)})
        )
        await deployment.authority.keys.catch_up()
        outcome = await deployment.order(ROTATE_KEYS)

    assert (len(outcome["topic_keys"]), outcome["topics_omitted"]) == (200, 52)
    assert outcome["topic_keys"][AUTH_REQUEST] == [f"{AUTH_REQUEST}-epoch-{EPOCH}.1"]


async def test_the_same_order_rotates_once() -> None:
    async with Deployment().at_work() as deployment:
        once = await deployment.order(ROTATE_KEYS)
        again = await deployment.order(ROTATE_KEYS)
        other = await deployment.order(ROTATE_KEYS, name="c-2")

    assert again["topic_keys"] == once["topic_keys"]
    assert other["topic_keys"][AUTH_REQUEST] == [f"{AUTH_REQUEST}-epoch-{EPOCH}.2"]


async def test_in_the_lead_the_next_epoch_is_rotated_too() -> None:
    async with Deployment().at_work() as deployment:
        await asyncio.sleep((DEMO.keys.period - DEMO.keys.lead).total_seconds() - 4.9)
        outcome = await deployment.order(ROTATE_KEYS)

    assert outcome["topic_keys"][AUTH_REQUEST] == [
        f"{AUTH_REQUEST}-epoch-{EPOCH}.1",
        f"{AUTH_REQUEST}-epoch-{EPOCH + 1}.1",
    ]


async def test_who_does_not_follow_is_named() -> None:
    async with Deployment().at_work() as deployment:
        deployment.gatekeeper.is_adopting = False
        outcome = await deployment.order(ROTATE_KEYS)

    assert outcome["adoption"]["waiting"] == ["gatekeeper/g1"]


async def test_without_nats_keys_rotate_all_the_same() -> None:
    async with Deployment().at_work() as deployment:
        deployment.world.bus.is_severed = True
        outcome = await deployment.order(ROTATE_KEYS)
        deployment.world.bus.is_severed = False

    assert not outcome["adoption"]["observed"]
    assert outcome["topic_keys"][AUTH_REQUEST] == [f"{AUTH_REQUEST}-epoch-{EPOCH}.1"]


async def test_a_revoked_service_has_nothing_left() -> None:
    async with Deployment().at_work() as deployment:
        assert not await deployment.refusal(deployment.gatekeeper, "before")
        began = deployment.world.clock.now()
        outcome = await deployment.order(REVOKE, GATEKEEPER)
        took = deployment.world.clock.now() - began

        newest = deployment.world.desired[-1]
        assert (GATEKEEPER in newest.grants, newest.revoked) == (False, (GATEKEEPER,))
        assert await deployment.refusal(deployment.gatekeeper, "after") == RevokedError.code
        ring = opened(await deployment.asks(deployment.authcontroller, "other")).ring
        assert not ring.may_produce(GATEKEEPER, AUTH_REQUEST)
        assert not [signer for signer, _ in ring.verify if signer == GATEKEEPER]

    assert took.total_seconds() <= WITHIN_S
    assert outcome["servers_verified"]
    assert outcome["topic_keys"][AUTH_REQUEST] == [f"{AUTH_REQUEST}-epoch-{EPOCH}.1"]
    assert outcome["identities_refused"] == ["gatekeeper/g1"]
    assert (outcome["secret_ids_destroyed"], outcome["tokens_revoked"]) == (1, 1)
    assert deployment.access.secret_ids == deployment.access.tokens == {(AUTHCONTROLLER, "a")}
    assert list(outcome["adoption"]["adopted"]) == ["authcontroller/a1"]


async def test_the_bundles_of_a_revoked_service_are_removed_at_once_and_for_good() -> None:
    async with Deployment().at_work() as deployment:
        for instance in (deployment.gatekeeper, deployment.authcontroller):
            await instance.register_kem()
        await asyncio.sleep(DEMO.keys.lead.total_seconds() + 1)
        recovery = recovery_of(deployment.world, deployment.gatekeeper)
        assert await recovery.fetch(in_use=0) is not None

        outcome = await deployment.order(REVOKE, GATEKEEPER)
        assert await recovery.fetch(in_use=0) is None
        await asyncio.sleep(DEMO.keys.period.total_seconds())
        names = await deployment.world.store.fetch_names(BUNDLES_PATH)

    assert outcome["bundles_removed"] == 1
    assert names == (f"{AUTHCONTROLLER}/",)


async def test_a_lifted_service_needs_a_new_identity_and_signs_with_another_key() -> None:
    async with Deployment().at_work() as deployment:
        await deployment.order(REVOKE, GATEKEEPER)
        outcome = await deployment.order(UNREVOKE, GATEKEEPER, name="c-2")
        newest = deployment.world.desired[-1]
        fresh = Follower(deployment.world, GATEKEEPER, InstanceName("g2"))
        fresh.register()

        assert (GATEKEEPER in newest.grants, newest.revoked) == (True, ())
        assert await deployment.refusal(deployment.gatekeeper, "old") == RevokedError.code
        assert not await deployment.refusal(fresh, "new")

    assert outcome["servers_verified"]
    assert outcome["identities_refused"] == ["gatekeeper/g1"]


async def test_the_status_of_a_refused_identity_holds_up_nothing() -> None:
    async with Deployment().at_work() as deployment:
        await deployment.order(REVOKE, GATEKEEPER)
        await deployment.order(UNREVOKE, GATEKEEPER, name="c-2")
        await asyncio.sleep(1)
        fleet = await deployment.authority.fleet.observe()

    assert fleet is not None
    assert {status.service for status in fleet.live} == {AUTHCONTROLLER, WATCHER}


async def test_an_identity_that_registers_while_it_is_shut_out_stays_refused() -> None:
    async with Deployment().at_work() as deployment:
        late = Follower(deployment.world, GATEKEEPER, InstanceName("g2"))
        deployment.meanwhile = late.register
        await deployment.order(REVOKE, GATEKEEPER)
        await deployment.order(UNREVOKE, GATEKEEPER, name="c-2")

        assert await deployment.refusal(late, "late") == RevokedError.code


async def test_a_new_process_grants_nothing_before_it_knows_who_is_revoked() -> None:
    deployment = Deployment()
    async with deployment.at_work():
        await deployment.order(REVOKE, GATEKEEPER)
    world = deployment.world
    stored = len(world.desired)

    world.acls = AclSource(make_acl(), revoked=None)
    restarted = world.start()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until(stop, [restarted.rotator]))
        await asyncio.sleep(5)
        assert len(world.desired) == stored, "nobody has said who is revoked"
        group.create_task(run_until(stop, [restarted.keys]))
        await asyncio.sleep(5)
        stop.set()

    assert len(world.desired) > stored
    assert not [state for state in world.desired[stored:] if GATEKEEPER in state.grants]


async def test_another_manifest_does_not_let_a_revoked_service_in() -> None:
    async with Deployment().at_work() as deployment:
        await deployment.order(REVOKE, GATEKEEPER)
        changed = roles()
        changed[GATEKEEPER]["publish"].append("audit.trail")
        deployment.world.acls.replace(acl_from_roles(changed, known=KNOWN)[0])
        await asyncio.sleep(2)

        assert GATEKEEPER not in deployment.world.desired[-1].grants
        assert await deployment.refusal(deployment.gatekeeper, "after") == RevokedError.code


async def test_without_nats_a_service_is_revoked_in_openbao_and_the_rest_follows() -> None:
    async with Deployment().at_work() as deployment:
        deployment.world.bus.is_severed = True
        outcome = await deployment.order(REVOKE, GATEKEEPER)
        deployment.world.bus.is_severed = False

        assert not outcome["servers_verified"]
        assert deployment.world.desired[-1].revoked == (GATEKEEPER,)
        assert await deployment.refusal(deployment.gatekeeper, "after") == RevokedError.code


@pytest.mark.parametrize(
    ("service", "error"),
    [
        (METADATA, CommandRefusedError),
        (WATCHER, CommandRefusedError),
        (ServiceName("stranger"), CommandUnknownError),
        ("", CommandUnknownError),
    ],
)
async def test_what_cannot_be_revoked_is_refused_and_nothing_happens(
    service: str, error: type[SvcError]
) -> None:
    async with Deployment().at_work() as deployment:
        with pytest.raises(error):
            await deployment.order(REVOKE, service)

        ledger = await deployment.authority.ledgers.load()

    assert (ledger.revoked, deployment.progress) == (frozenset(), [])
