"""A mounted leaf stands in for one that OpenBao would issue, and is trusted no more than that."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from svc_core.adapters.tls_contexts import client_context
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.crypto.certificates import certificate_request, new_leaf_key
from svc_core.domain.tls import LeafNames, TlsState
from svc_core.errors import NotFoundError, TlsMaterialError
from svc_core.flows.ca_following import CaFollower, FollowedIdentity
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.leaf_issuing import LeafSpec
from svc_core.flows.mounted_leaves import MountedLeaves
from svc_core.ports.mounted import MountedPair
from svc_core.runtime.metrics import RotationMetrics
from svc_core.runtime.supervision import run_until
from tests.authority import Authority, without_threads
from tests.builders import DEMO, make_surroundings, seeded_entropy
from tests.fakes.clock import LoopClock
from tests.fakes.memory_certificate_issuer import Intermediate, make_intermediate, sign_leaf

URI = "spiffe://securetransport.local/ns/default/sa/gatekeeper"
SPEC = LeafSpec(role="gatekeeper", uris=(URI,))
OTHER = LeafSpec(role="gatekeeper-admin", dns=("localhost",), server=True)
TTL = timedelta(seconds=60)


@dataclass
class Mount:
    """What is mounted, by hand."""

    pair: MountedPair | None = None
    name: str = field(default="/mnt/tls")

    async def read(self) -> MountedPair | None:
        return self.pair


class Scene:
    """An authority with the trusted issuers 100 and 101, and a mount."""

    def __init__(self) -> None:
        without_threads()
        self.authority = Authority(LoopClock())
        self.desired = self.authority.state(1, 101, 100)
        self.mount = Mount()
        self.leaves = MountedLeaves(
            self.authority.certificates,
            make_surroundings(self.authority.clock),
            SPEC.role,
            self.mount,
        )

    def mounts(self, issuer: str | Intermediate, *, ttl: timedelta = TTL) -> None:
        """Have somebody mount a leaf of ``issuer``."""
        signer = issuer if isinstance(issuer, Intermediate) else self.issuer(issuer)
        key = new_leaf_key(seeded_entropy())
        csr = certificate_request(key, uris=[URI])
        leaf = sign_leaf(signer, csr, now=self.authority.clock.now(), ttl=ttl, server=False)
        self.mount.pair = MountedPair(leaf + signer.pem, key)

    def issuer(self, name: str) -> Intermediate:
        return self.authority.certificates.issuers[name]


async def test_the_mounted_leaf_is_taken_with_the_trust_of_the_desired_state() -> None:
    scene = Scene()
    active, former = scene.desired.active, scene.desired.issuers[-1].name
    for issuer in (active, former):
        scene.mounts(issuer)

        material = await scene.leaves.issue(SPEC, scene.desired, active)

        assert material.issuer == issuer
        assert material.trust_pem == scene.desired.trust_pem
        assert material.remaining(scene.authority.clock.now()) == TTL
        identity = TlsIdentity(
            scene.authority.clock, client_context, server=False, names=LeafNames((URI,))
        )
        await identity.adopt(material)
    assert scene.authority.certificates.signed == []


async def test_other_leaves_are_issued_as_ever() -> None:
    scene = Scene()
    material = await scene.leaves.issue(OTHER, scene.desired, scene.desired.active)

    assert material.issuer == scene.desired.active
    assert [request.role for request in scene.authority.certificates.signed] == [OTHER.role]


async def test_a_leaf_of_somebody_else_is_refused() -> None:
    scene = Scene()
    now = scene.authority.clock.now()
    scene.mounts(make_intermediate(scene.desired.active, now=now, life=timedelta(hours=1)))

    with pytest.raises(TlsMaterialError, match="no trusted issuer"):
        await scene.leaves.issue(SPEC, scene.desired, scene.desired.active)


async def test_nothing_mounted_and_a_leaf_that_is_over_are_waited_for() -> None:
    scene = Scene()
    with pytest.raises(NotFoundError, match="no certificate is mounted in /mnt/tls"):
        await scene.leaves.issue(SPEC, scene.desired, scene.desired.active)

    scene.mounts(scene.desired.active, ttl=timedelta(seconds=10))
    await asyncio.sleep(9)
    with pytest.raises(NotFoundError, match="is over"):
        await scene.leaves.issue(SPEC, scene.desired, scene.desired.active)


def state_of(identity: TlsIdentity) -> TlsState:
    return identity.health.state


async def test_a_follower_waits_for_a_new_one_and_takes_it_at_once() -> None:
    scene = Scene()
    authority, clock = scene.authority, scene.authority.clock
    await authority.say(scene.desired)
    scene.mounts(scene.desired.issuers[-1].name)
    identity = TlsIdentity(clock, client_context, server=False)
    followed = FollowedIdentity(SPEC, identity)
    reader = DesiredReader(authority.store, authority.bus, authority.statements, DEMO.name)
    around = make_surroundings(clock)
    metrics = RotationMetrics(CollectorRegistry())
    follower = CaFollower(reader, scene.leaves, [followed], around, metrics)
    stop = asyncio.Event()
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as group:
            group.create_task(run_until(stop, [follower]))
            await asyncio.sleep(TTL.total_seconds() + 30)
            assert state_of(identity) is TlsState.EXPIRED
            assert identity.health.generation == 1

            scene.mounts(scene.desired.active)
            followed.renew_at = None
            follower.hinted.set()
            # Longer than the longest pause between two attempts.
            await asyncio.sleep(6)

            assert state_of(identity) is TlsState.OK
            assert identity.health.issuer == scene.desired.active
            stop.set()
    assert len(logs) < 400, "a follower that has nothing to take must not spin"
