"""The authority in memory: everything it uses, and services that follow what it says."""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from prometheus_client import CollectorRegistry

from services.metadata.domain import journal_codec
from services.metadata.domain.ca_rotation import SilencePolicy
from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.lease import LeaseTimes
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.announcing import Announcer, Signatory, Streams
from services.metadata.flows.audit_keeping import AuditLog
from services.metadata.flows.bundle_announcing import BundleAnnouncer
from services.metadata.flows.bundle_assembling import BundleAssembler
from services.metadata.flows.bundle_keeping import BundleKeeper, BundleTools
from services.metadata.flows.bundle_responder import BundleResponder, ResponderTools
from services.metadata.flows.bundle_sealing import BundleSealer
from services.metadata.flows.ca_rotation import CaRotator, RotationTools
from services.metadata.flows.fleet_watching import FleetWatch
from services.metadata.flows.instance_keys import InstanceKeys
from services.metadata.flows.journal_keeping import JournalKeeper
from services.metadata.flows.key_issuance import KeyIssuance
from services.metadata.flows.key_keeping import KeyKeeper
from services.metadata.flows.ledger_keeping import LedgerKeeper
from services.metadata.flows.root_keeping import RootKeeper
from services.metadata.flows.rotation_metrics import IssuanceMetrics
from services.metadata.flows.step_taking import CanaryProof
from services.metadata.ports import IssuerMint, Term
from svc_core.crypto import contexts
from svc_core.crypto.kem import KemKey
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.desired import DesiredState, TrustMode
from svc_core.domain.identity import (
    CANARY,
    GATEKEEPER,
    WATCHER,
    Deployment,
    InstanceName,
    ServiceName,
)
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.status import InstanceStatus, ServerStatus
from svc_core.domain.subjects import (
    DESIRED_PATH,
    JOURNAL_PATH,
    STREAMS,
    DurableSpec,
    StreamSpec,
    identity_path,
    kem_path,
    status_key,
)
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import BusError
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec
from svc_core.flows.statements import Author, Statements
from svc_core.ports.secret_store import SecretStore
from svc_core.runtime.supervision import Loop, run_until
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire import desired as desired_wire
from svc_core.wire import documents, instance_kem
from svc_core.wire import status as status_wire
from svc_core.wire.identities import PublicIdentity
from svc_core.wire.instance_kem import InstanceKem
from tests.authority import make_author
from tests.builders import DEMO, fixed_bytes, make_status, make_surroundings
from tests.fakes.clock import LoopClock
from tests.fakes.memory_certificate_issuer import MemoryCertificateIssuer
from tests.fakes.memory_key_wrap import MemoryKeyWrap
from tests.fakes.memory_secret_store import MemorySecretStore
from tests.fakes.mishaps import Mishaps
from tests.fakes.scripted_mint import ScriptedMint
from tests.fakes.scripted_roots import ScriptedRoots
from tests.fakes.severable_bus import SeverableBus
from tests.unit.metadata.acls import make_acl
from tests.unit.metadata.journals import NODES

ALGORITHM: Final = Algorithm.ML_DSA_44
"""Of the services' identities here: the smallest, since tests are about rules."""
IDENTITY: Final = Algorithm.ML_DSA_87
HEARTBEAT_S: Final = 0.5
_FIRST: Final = InstanceName("g1")
_OFF_BEAT_S: Final = 0.0017
"""So that no stop falls on the very instant at which some loop's pause ends."""


def after(seconds: float, act: Callable[[], None]) -> None:
    """Do something while loops run."""
    asyncio.get_running_loop().call_later(seconds, act)


async def run_for(seconds: float, *loops: Loop) -> None:
    """Run ``loops`` under supervision until ``seconds`` have passed."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds + _OFF_BEAT_S, stop.set)
    await run_until(stop, loops)


@dataclass
class ScriptedProof:
    """A `ServerProof` whose servers refuse as a test says."""

    refusals: Sequence[str] = ()
    proven: list[str] = field(default_factory=list)
    """Issuers of the canaries that were shown, in order."""

    async def prove(self, canary: TlsMaterial) -> Sequence[str]:
        """Return the refusals."""
        self.proven.append(canary.issuer)
        return self.refusals


@dataclass
class ScriptedDeclaration:
    """A `StreamDeclaration` that counts."""

    bus: SeverableBus
    declared: list[tuple[Sequence[StreamSpec], int, int]] = field(default_factory=list)
    """The streams, the number of durables, and the replicas asked for."""

    async def declare(
        self, streams: Sequence[StreamSpec], durables: Sequence[DurableSpec], *, replicas: int
    ) -> None:
        """Take note, if the broker is there."""
        if self.bus.is_severed:
            raise BusError("NATS is away")
        self.declared.append((streams, len(durables), replicas))


@dataclass
class Authority:
    """One process of the authority: dies with its loops, remembers nothing."""

    keeper: JournalKeeper
    fleet: FleetWatch
    announcer: Announcer
    rotator: CaRotator
    keys: KeyIssuance
    responder: BundleResponder
    metrics: IssuanceMetrics
    own_follower: Wakeup
    registry: CollectorRegistry
    instances: InstanceKeys
    ledgers: LedgerKeeper
    teller: BundleAnnouncer
    bundles: BundleKeeper

    @property
    def loops(self) -> tuple[Loop, ...]:
        """Everything the authority runs."""
        return (
            self.rotator,
            self.keys,
            self.announcer,
            self.responder,
            self.teller,
            self.bundles,
        )

    def count(self, name: str) -> float:
        """Return the value of one metric."""
        return self.registry.get_sample_value(name) or 0.0


@dataclass
class World:
    """What outlives a process of the authority."""

    mishaps: Mishaps = field(default_factory=Mishaps)
    clock: LoopClock = field(default_factory=LoopClock)
    bus: SeverableBus = field(default_factory=SeverableBus)
    proof: ScriptedProof = field(default_factory=ScriptedProof)
    wrap: MemoryKeyWrap = field(default_factory=MemoryKeyWrap)
    author: Author = field(default_factory=make_author)
    lease: LeaseTimes = field(default_factory=lambda: LeaseTimes.of(DEMO))
    trust_mode: TrustMode = TrustMode.INTERMEDIATES
    streams: tuple[StreamSpec, ...] = STREAMS
    terms: int = 0
    """Of the processes that were started alone."""

    def __post_init__(self) -> None:
        self.store = MemorySecretStore(mishaps=self.mishaps)
        self.leaves = MemoryCertificateIssuer(self.clock)
        self.roots = ScriptedRoots(self.clock, DEMO, mishaps=self.mishaps)
        self.mint = ScriptedMint(self.clock, DEMO, self.leaves, self.roots, mishaps=self.mishaps)
        self.declaration = ScriptedDeclaration(self.bus)
        self.acls = AclSource(make_acl())
        self.around: Surroundings = make_surroundings(self.clock)

    def start(
        self,
        holder: str = "metadata-1",
        *,
        store: SecretStore | None = None,
        mint: IssuerMint | None = None,
        term: Term | None = None,
        when_silent: SilencePolicy = SilencePolicy.QUORUM,
    ) -> Authority:
        """Return a new process of the authority, with its own view of store and mint if given.

        Whether it holds the lease its journal says, or ``term``.
        """
        store, mint = store or self.store, mint or self.mint
        own_follower, registry = Wakeup(), CollectorRegistry()
        instances = InstanceKeys(store, self.clock)
        fleet = FleetWatch(self.bus, instances, self.around)
        announcer = Announcer(
            store,
            self.bus,
            Signatory(self.author, self.statements),
            Streams(self.declaration, 3, self.streams),
            own_follower,
            self.around,
        )
        spec = LeafSpec(CANARY, (Deployment().spiffe_id(CANARY),))
        proof = CanaryProof(LeafIssuing(self.leaves, self.around), self.proof, spec)
        audit = AuditLog(store, self.author, self.clock)
        keeper = JournalKeeper(store, holder, audit, self.clock, self.lease)
        metrics = IssuanceMetrics(registry)
        roots = RootKeeper(keeper, self.roots, self.trust_mode, self.around, metrics)
        tools = RotationTools(keeper, mint, fleet, announcer, proof, audit, roots, when_silent)
        ledgers = LedgerKeeper(store, term or (lambda: keeper.term))
        generations = KeyKeeper(store, self.wrap)
        keys = KeyIssuance(generations, ledgers, instances, self.acls, self.around)
        rotator = CaRotator(tools, self.acls, self.around, metrics)
        assembler = BundleAssembler(self.around)
        sealing = BundleTools(
            assembler, BundleSealer(self.author, self.around.entropy), self.statements
        )
        bundles = BundleKeeper(store, keys, instances, sealing, self.around)
        keys.wake(bundles.hinted)
        answering = ResponderTools(self.author, assembler, bundles.note_pull)
        responder = BundleResponder(self.bus, keys, instances, self.acls, answering, self.around)
        teller = BundleAnnouncer(keys, self.bus, self.author, self.around)
        self.acls.wake(rotator.hinted, keys.hinted)
        keeper.wake(keys.hinted)
        return Authority(
            keeper,
            fleet,
            announcer,
            rotator,
            keys,
            responder,
            metrics,
            own_follower,
            registry,
            instances,
            ledgers,
            teller,
            bundles,
        )

    def start_alone(
        self, holder: str = "metadata-1", *, store: SecretStore | None = None
    ) -> Authority:
        """Return a process that has the lease without a rotator: for what is about keys alone.

        Each has the lease from when it is started, under a later term than those before.
        """
        self.terms += 1
        term = self.terms
        return self.start(holder, store=store, term=lambda: term)

    @property
    def statements(self) -> Statements:
        """What verifies the authority's identity and nobody else's."""
        return Statements([PublicIdentity(self.author.id, IDENTITY, self.author.public)])

    async def adopt(self, journal: Journal) -> None:
        """Make ``journal`` the stored one, with an issuer in OpenBao for each in it."""
        minted = {i.name: await self.mint.mint(i.name, i.root) for i in journal.issuers}
        issuers = tuple(
            replace(i, pem=minted[i.name].pem, route_pem=minted[i.name].route_pem)
            for i in journal.issuers
        )
        document = journal_codec.encode(replace(journal, issuers=issuers))
        await self.store.store(JOURNAL_PATH, document, expected_version=None)

    async def journal(self) -> Journal:
        """Return the journal as it is stored."""
        found = await self.store.fetch(JOURNAL_PATH)
        return Journal() if found is None else journal_codec.decode(found.data)

    async def states(self) -> dict[str, IssuerState]:
        """Return the state of every issuer that is remembered."""
        return {i.name: i.state for i in (await self.journal()).issuers}

    @property
    def desired(self) -> list[DesiredState]:
        """Every desired state that was ever stored, in order."""
        return [read_desired(data) for path, data in self.store.history if path == DESIRED_PATH]


def read_desired(entry: Mapping[str, object]) -> DesiredState:
    """Return the state in ``entry``, whoever signed it."""
    return desired_wire.decode(documents.decode_entry(entry).body)


@dataclass
class Follower:
    """One service instance that does what the desired state says, and says so."""

    world: World
    service: ServiceName = GATEKEEPER
    instance: InstanceName = _FIRST
    is_trusting: bool = True
    is_moving: bool = True
    server_error: str = ""
    """Of the third server, for Watcher."""
    stuck_at: int | None = None
    """The version that the third server does not get beyond."""
    judges_above: int | None = None
    """The version above which Watcher says that the third server has failed."""
    version: int = 0
    issuer: str = ""
    sent: int = 0

    @property
    def name(self) -> str:
        """The loop's."""
        return f"follower_{self.instance}"

    def __post_init__(self) -> None:
        seed = SecretBytes(fixed_bytes(self.name))
        signer = Signer.from_seed(ALGORITHM, seed)
        self.author = Author(f"{self.service}/{self.instance}", signer)

    def register(self) -> None:
        """Put the public half where the authority looks it up."""
        public = b64encode(self.author.public).decode()
        entry = {"algorithm": ALGORITHM.value, "public": public}
        self.world.store.put(identity_path(self.service, self.instance), entry)

    @property
    def kem(self) -> KemKey:
        """What bundles at rest are sealed to."""
        return KemKey.from_seed(SecretBytes(fixed_bytes(f"kem of {self.name}", 64)))

    async def register_kem(self, *, author: Author | None = None, **changes: Any) -> None:
        """Put the key that bundles are sealed to where the authority looks it up, or a fault."""
        values: dict[str, Any] = {
            "service": self.service,
            "instance": self.instance,
            "public": self.kem.public,
            "made_at": self.world.clock.now(),
        }
        document = await (author or self.author).sign(
            instance_kem.encode(InstanceKem(**values | changes)), context=contexts.INSTANCE_KEM
        )
        path = kem_path(self.service, self.instance)
        self.world.store.put(path, documents.encode_entry(document))

    async def run(self) -> None:
        """Follow and report for ever."""
        self.register()
        while True:
            entry = await self.world.store.fetch(DESIRED_PATH)
            if entry is not None:
                self.follow(read_desired(entry.data))
            if not self.world.bus.is_severed:
                await self.report()
            await asyncio.sleep(HEARTBEAT_S)

    def follow(self, desired: DesiredState) -> None:
        """Do what ``desired`` says, as far as this one does."""
        if self.is_trusting:
            self.version = desired.version
        if self.is_moving or not self.issuer:
            self.issuer = desired.active

    async def report(self) -> None:
        """Publish a signed status."""
        await self.publish(self.status())

    async def publish(self, status: InstanceStatus, *, author: Author | None = None) -> None:
        """Publish ``status`` under this one's key."""
        self.sent += 1
        document = await (author or self.author).sign(
            status_wire.encode(status), context=contexts.INSTANCE_STATUS
        )
        key = status_key(self.service, self.instance)
        message_id = f"{self.instance}-{self.sent}"
        await self.world.bus.publish(key, documents.encode(document), message_id=message_id)

    def status(self) -> InstanceStatus:
        """Return the status as of now."""
        servers = tuple(
            ServerStatus(name, self.version, self.issuer) for name in NODES if name != "n3"
        )
        reached = self.version if self.stuck_at is None else self.stuck_at
        has_failed = self.judges_above is not None and self.version > self.judges_above
        error = self.server_error or ("frozen" if has_failed else "")
        failed_at = self.version if has_failed else 0
        servers += (ServerStatus("n3", reached, self.issuer, error, failed_at),)
        is_watcher = self.service == WATCHER
        return make_status(
            service=self.service,
            instance=self.instance,
            sent_at=self.world.clock.now(),
            version=self.version,
            issuer=self.issuer,
            servers=servers if is_watcher else (),
            connections={self.issuer: 2} if is_watcher else {},
        )


class KilledError(Exception):
    """What a process that is killed sees: nothing it could act upon."""


@dataclass
class Mortal:
    """A process of the authority that is killed and started anew."""

    world: World
    name: Final = "mortal"
    deaths: int = 0

    async def run(self) -> None:
        """Rotate for ever, life after life."""
        while True:
            try:
                await self.world.start().rotator.run()
            except KilledError:
                self.deaths += 1


def make_followers(world: World) -> tuple[Follower, Follower]:
    """Return one gatekeeper and one Watcher."""
    return Follower(world), Follower(world, WATCHER, InstanceName("w1"))
