"""The responder at work in memory, and instances that may pull from it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.metadata.domain.key_ledger import KeyLedger
from services.metadata.flows.ledger_keeping import LedgerKeeper
from svc_core.crypto import contexts, sealing
from svc_core.crypto.kdf import labelled_info
from svc_core.crypto.kem import KemKey
from svc_core.crypto.signing import Algorithm
from svc_core.domain.bundle import BundleRequest, ServiceBundle
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import BUNDLE_PULL
from svc_core.flows.bundle_following import BundleFollower, Recipient
from svc_core.flows.bundle_recovery import BundleRecovery, Owner
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.flows.secure_channel import SecureChannel
from svc_core.flows.statements import Author, Statements
from svc_core.ports.bus import Bus
from svc_core.wire import bundle_exchange, framing, service_bundle
from svc_core.wire.bundle_exchange import SignedRequest
from svc_core.wire.identities import PublicIdentity
from tests.builders import fixed_bytes, make_channel, make_request
from tests.fakes.memory_bundle_memory import MemoryBundleMemory
from tests.unit.metadata.world import Follower, World, run_for

TIMEOUT = timedelta(seconds=3)
KEM = KemKey.from_seed(SecretBytes(fixed_bytes("kem", 64)))


@dataclass
class Office:
    """The responder at work, and one registered instance that may pull."""

    world: World
    gatekeeper: Follower

    async def ask(self, raw: bytes) -> bytes:
        """Return the answer as it comes."""
        return await self.world.bus.request(BUNDLE_PULL, raw, timeout=TIMEOUT)

    async def refusal(self, raw: bytes) -> str:
        """Return the code of the refusal."""
        return bundle_exchange.decode_refusal(await self.ask(raw))

    async def signed(
        self,
        request: BundleRequest,
        *,
        author: Author | None = None,
        context: bytes = contexts.BUNDLE_REQUEST,
    ) -> bytes:
        """Return ``request`` signed by the gatekeeper, or by another."""
        signature = await (author or self.gatekeeper.author).sign_bytes(
            bundle_exchange.request_signing_input(request), context=context
        )
        return bundle_exchange.encode_request(SignedRequest(request, signature))

    async def note(self, change: Callable[[KeyLedger], KeyLedger]) -> None:
        """Change the ledger, as an operator's command does."""
        await LedgerKeeper(self.world.store, lambda: self.world.terms).change(change)

    def request(self, **changes: Any) -> BundleRequest:
        """Return a good request of the gatekeeper, or one with a fault."""
        values: dict[str, Any] = {
            "instance": self.gatekeeper.instance,
            "kem_public": KEM.public,
            "sent_at": self.world.clock.now(),
        }
        return make_request(**values | changes)


@asynccontextmanager
async def open_office(*, with_keys: bool = True) -> AsyncIterator[Office]:
    """Yield an office in which, usually, keys have been issued."""
    world = World()
    authority, gatekeeper = world.start_alone(), Follower(world)
    gatekeeper.register()
    if with_keys:
        await run_for(0.1, authority.keys)
    async with asyncio.TaskGroup() as group:
        responding = group.create_task(authority.responder.run())
        await asyncio.sleep(0)
        yield Office(world, gatekeeper)
        responding.cancel()


def follower_of(
    office: Office,
    instance: Follower,
    bus: Bus | None = None,
    *,
    recovery: BundleRecovery | None = None,
) -> tuple[BundleFollower, SecureChannel]:
    """Return what a service pulls with, over ``bus`` if it has one, and where its keys are."""
    author = office.world.author
    pinned = PublicIdentity(author.id, Algorithm.ML_DSA_87, author.public)
    channel = make_channel(instance.service, office.world.clock)
    follower = BundleFollower(
        Recipient(instance.service, instance.instance, instance.author),
        bus or office.world.bus,
        channel,
        Statements([pinned]),
        office.world.around,
        recovery,
    )
    return follower, channel


def opened(raw: bytes) -> ServiceBundle:
    """Return the bundle in a reply to the request under `KEM`."""
    reply = bundle_exchange.decode_reply(raw)
    info = labelled_info(contexts.SEAL_BUNDLE, reply.service.encode(), reply.instance.encode())
    encoded = sealing.unseal(
        KEM.decapsulate(reply.encapsulation),
        framing.decode(reply.sealed),
        info=info,
        aad=bundle_exchange.reply_aad(reply),
    )
    return service_bundle.decode(encoded)


def recovery_of(world: World, instance: Follower) -> BundleRecovery:
    """Return what reads the bundle that is kept for ``instance``; it remembers nothing."""
    return BundleRecovery(
        Owner(instance.service, instance.instance, instance.kem),
        PartedDocuments(world.store),
        world.statements,
        MemoryBundleMemory(),
    )
