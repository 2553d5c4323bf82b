"""The authority as its followers see it: signed states, leaves and bundles, all in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

from svc_core.crypto import contexts, sealing
from svc_core.crypto.kdf import labelled_info
from svc_core.crypto.kem import KemKey, encapsulate
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.bundle import BundleRequest, ServiceBundle
from svc_core.domain.desired import DesiredState, TrustedIssuer
from svc_core.domain.identity import InstanceName
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import BUNDLE_PULL, BUNDLE_WORKERS, CA_CERT, DESIRED_PATH
from svc_core.flows.statements import Author, Statements
from svc_core.ports.bus import Bus, Responder
from svc_core.ports.time import Clock
from svc_core.wire import bundle_exchange, documents, framing, service_bundle, stored_bundle
from svc_core.wire import desired as desired_wire
from svc_core.wire.bundle_exchange import BundleReply
from svc_core.wire.identities import PublicIdentity
from svc_core.wire.stored_bundle import StoredBundle
from tests.builders import (
    DEMO,
    InlineExecutor,
    fixed_bytes,
    make_desired,
    seeded_entropy,
)
from tests.fakes.clock import LoopClock
from tests.fakes.memory_bus import MemoryBus
from tests.fakes.memory_certificate_issuer import MemoryCertificateIssuer, make_intermediate
from tests.fakes.memory_secret_store import MemorySecretStore

P = ParamSpec("P")
R = TypeVar("R")
ISSUER_LIFE = DEMO.ca.validity
PINNED_ID = "metadata-1"


class InlineThreads(ThreadPoolExecutor):
    """Runs what is meant for a thread at once, so that virtual time stands still for it."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run ``fn`` and return its outcome."""
        return InlineExecutor().submit(fn, *args, **kwargs)


def without_threads() -> None:
    """Have `asyncio.to_thread` of the running loop work inline."""
    asyncio.get_running_loop().set_default_executor(InlineThreads(1))


def make_author(signer_id: str = PINNED_ID) -> Author:
    """Return the author whose key depends on its id only."""
    seed = SecretBytes(fixed_bytes(f"author/{signer_id}"))
    return Author(signer_id, Signer.from_seed(Algorithm.ML_DSA_87, seed))


@dataclass
class Authority:
    """One pinned identity and everything it says and signs."""

    clock: Clock = field(default_factory=LoopClock)
    bus: MemoryBus = field(default_factory=MemoryBus)
    store: MemorySecretStore = field(default_factory=MemorySecretStore)

    def __post_init__(self) -> None:
        self.author = make_author()
        self.certificates = MemoryCertificateIssuer(self.clock)
        self._announced = 0

    @property
    def statements(self) -> Statements:
        """What followers verify with: the pinned identity alone."""
        pinned = PublicIdentity(PINNED_ID, Algorithm.ML_DSA_87, self.author.public)
        return Statements([pinned])

    def mint(self, epoch: int, *, life: timedelta = ISSUER_LIFE) -> TrustedIssuer:
        """Make the issuer ``ca-<epoch>-1``, or return the one there is."""
        name = f"ca-{epoch}-1"
        if name not in self.certificates.issuers:
            made = make_intermediate(name, now=self.clock.now(), life=life)
            self.certificates.issuers[name] = made
        made = self.certificates.issuers[name]
        end = made.certificate.not_valid_after_utc
        return TrustedIssuer(name, epoch, made.pem, made.pem, end)

    def state(self, version: int, *epochs: int, active: int | None = None) -> DesiredState:
        """Return a state that trusts the issuers of ``epochs``; the first is active."""
        return make_desired(
            version=version,
            active=f"ca-{epochs[0] if active is None else active}-1",
            issuers=tuple(self.mint(epoch) for epoch in epochs),
            kicked_issuers=(),
            made_at=self.clock.now(),
        )

    async def say(self, state: DesiredState, *, author: Author | None = None) -> None:
        """Store ``state`` and put it on the bus, as Metadata does."""
        await self.store_state(state, author=author)
        await self.publish_state(state, author=author)

    async def store_state(self, state: DesiredState, *, author: Author | None = None) -> None:
        """Put ``state`` into the store only."""
        document = await self._signed(state, author)
        await self.store.store(
            DESIRED_PATH, documents.encode_entry(document), expected_version=None
        )

    async def publish_state(self, state: DesiredState, *, author: Author | None = None) -> None:
        """Put ``state`` on the bus only."""
        document = await self._signed(state, author)
        self._announced += 1
        await self.bus.publish(
            CA_CERT, documents.encode(document), message_id=f"state-{self._announced}"
        )

    async def _signed(self, state: DesiredState, author: Author | None) -> documents.SignedDocument:
        return await (author or self.author).sign(
            desired_wire.encode(state), context=contexts.DESIRED_STATE
        )


@dataclass
class BundleOffice:
    """Answers pulls with one bundle; what it says wrongly is said under its own signature."""

    author: Author
    bundle: ServiceBundle
    clock: Clock
    instance: InstanceName | None = None
    """Whom to answer instead of the one who asks."""
    nonce: bytes = b""
    """What to answer instead of the nonce asked with."""
    stated_version: int | None = None
    """The version outside the seal, if it is another than the one inside."""
    pulled_at: list[float] = field(default_factory=list)

    @asynccontextmanager
    async def answering(self, bus: Bus, responder: Responder | None = None) -> AsyncIterator[None]:
        """Answer pulls on ``bus`` meanwhile, or have ``responder`` answer them."""
        async with asyncio.TaskGroup() as group:
            answers = bus.respond(BUNDLE_PULL, BUNDLE_WORKERS, responder or self.respond)
            task = group.create_task(answers)
            await asyncio.sleep(0)
            try:
                yield
            finally:
                task.cancel()

    async def respond(self, raw: bytes) -> bytes:
        """Answer one pull."""
        self.pulled_at.append(self.clock.monotonic())
        request = bundle_exchange.decode_request(raw).request
        encapsulation, secret = encapsulate(request.kem_public)
        draft = self._draft(request, encapsulation)
        sealed = sealing.seal(
            secret,
            service_bundle.encode(self.bundle),
            info=labelled_info(
                contexts.SEAL_BUNDLE, draft.service.encode(), draft.instance.encode()
            ),
            aad=bundle_exchange.reply_aad(draft),
            entropy=seeded_entropy(),
        )
        reply = replace(draft, sealed=framing.encode(sealed))
        signature = await self.author.sign_bytes(
            bundle_exchange.reply_signing_input(reply), context=contexts.BUNDLE_REPLY
        )
        return bundle_exchange.encode_reply(replace(reply, signature=signature))

    def _draft(self, request: BundleRequest, encapsulation: bytes) -> BundleReply:
        stated = self.bundle.version if self.stated_version is None else self.stated_version
        return BundleReply(
            service=request.service,
            instance=self.instance or request.instance,
            nonce=self.nonce or request.nonce,
            version=stated,
            encapsulation=encapsulation,
            sealed=b"",
            signer=self.author.id,
        )


KEM = KemKey.from_seed(SecretBytes(fixed_bytes("instance kem", 64)))
"""What bundles at rest are sealed to, of whichever instance a test is about."""


async def stored_record(
    bundle: ServiceBundle, *, author: Author | None = None, **changes: Any
) -> StoredBundle:
    """Return ``bundle`` as it is stored for ``gatekeeper-1`` under `KEM`, or with a fault.

    Faults named in ``changes`` are under the signature, as the authority itself would make them.
    """
    author = author or make_author()
    encapsulation, secret = encapsulate(KEM.public)
    values: dict[str, Any] = {
        "service": bundle.service,
        "instance": InstanceName("gatekeeper-1"),
        "version": bundle.version,
        "expires_at": bundle.expires_at,
        "recipient_key": stored_bundle.key_digest(KEM.public),
        "encapsulation": encapsulation,
        "sealed": b"",
        "signer": author.id,
    }
    draft = StoredBundle(**values | changes)
    sealed = sealing.seal(
        secret,
        service_bundle.encode(bundle),
        info=labelled_info(
            contexts.SEAL_STORED_BUNDLE, draft.service.encode(), draft.instance.encode()
        ),
        aad=stored_bundle.header_aad(draft),
        entropy=seeded_entropy(),
    )
    record = replace(draft, sealed=framing.encode(sealed))
    signature = await author.sign_bytes(
        stored_bundle.signing_input(record), context=contexts.STORED_BUNDLE
    )
    return replace(record, signature=signature)
