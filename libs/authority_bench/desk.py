"""The authority as its `app.py` puts it together, as far as rights, keys and bundles go.

OpenBao is real, and so is all cryptography. There is one process, which holds the lease, no broker,
and a clock that is moved on by whole key epochs.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from prometheus_client import CollectorRegistry

from authority_bench.shapes import Shape
from authority_bench.surroundings import (
    LONG_AGO,
    DirectBus,
    ForgetfulMemory,
    RegisteringStore,
    SteppedClock,
)
from benchmarks.authority_order import AuthorityOrder
from services.metadata.adapters.key_wrap import TransitKeyWrap
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.audit_keeping import AuditLog
from services.metadata.flows.audited import AuditedStore
from services.metadata.flows.bundle_assembling import BundleAssembler
from services.metadata.flows.bundle_responder import BundleResponder, ResponderTools
from services.metadata.flows.bundle_sealing import BundleSealer
from services.metadata.flows.instance_keys import InstanceKeys
from services.metadata.flows.key_issuance import KeyIssuance
from services.metadata.flows.key_keeping import KeyKeeper
from services.metadata.flows.ledger_keeping import LedgerKeeper
from services.metadata.flows.manifest_metrics import ManifestMetrics
from services.metadata.flows.rights_keeping import RightsKeeper
from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.config import OpenBaoSettings
from svc_core.crypto.kem import KemKey
from svc_core.crypto.policy import CryptoPolicy
from svc_core.crypto.signing import SEED_SIZE, Algorithm, Signer
from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.audit import NO_ENTRY
from svc_core.domain.identity import METADATA, InstanceName, ServiceName
from svc_core.domain.profiles import PROFILES
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import identity_path
from svc_core.flows.bundle_following import BundleFollower, Recipient
from svc_core.flows.bundle_recovery import BundleRecovery, Owner
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.flows.secure_channel import SecureChannel
from svc_core.flows.statements import Author, Statements
from svc_core.ports.bus import Bus
from svc_core.ports.secret_store import Document
from svc_core.runtime.health import Health
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire.identities import PublicIdentity
from svc_core.wire.instance_kem import InstanceKem

INSTANCE: Final = InstanceName("bench")
_KEM_SEED: Final = 64
_TERM: Final = 1
_CRYPTO_THREADS: Final = 2
_PROFILE: Final = PROFILES["testing"]
_ID: Final = "metadata-1"


@dataclass(frozen=True, slots=True)
class Client:
    """One instance that pulls, and reads what is stored when that does not do."""

    service: ServiceName
    author: Author
    kem: KemKey

    @property
    def recipient(self) -> InstanceKem:
        """Its registered key."""
        return InstanceKem(self.service, INSTANCE, self.kem.public, LONG_AGO)

    @classmethod
    def make(cls, service: ServiceName) -> "Client":
        """Return one with new keys."""
        kem = KemKey.from_seed(SecretBytes(system_entropy(_KEM_SEED)))
        return cls(service, Author(f"{service}/{INSTANCE}", _new_signer()), kem)

    @property
    def registration(self) -> tuple[str, Document]:
        """Where its identity is registered, and as what."""
        public = b64encode(self.author.public).decode()
        entry = {"algorithm": Algorithm.ML_DSA_87.value, "public": public}
        return identity_path(self.service, INSTANCE), entry


@dataclass(frozen=True, slots=True)
class Desk:
    """The authority at work, and whoever asks it for bundles."""

    around: Surroundings
    clock: SteppedClock
    store: RegisteringStore
    rights: RightsKeeper
    keeper: KeyKeeper
    keys: KeyIssuance
    restarted: Callable[[], KeyIssuance]
    """Returns what a process that has just started has: nothing but what is stored."""
    assembler: BundleAssembler
    sealer: BundleSealer
    clients: Sequence[Client]
    follower: Callable[[Client], BundleFollower]
    """Returns what a client pulls with, as if it had just started."""

    @property
    def documents(self) -> PartedDocuments:
        """Where bundles are stored."""
        return PartedDocuments(self.store)


@asynccontextmanager
async def open_desk(order: AuthorityOrder, shape: Shape) -> AsyncIterator[Desk]:
    """Log in to OpenBao and put everything together; no rights are in force, no keys are made."""
    settings = OpenBaoSettings(
        url=order.openbao_url,
        ca_file=Path(order.ca_file),
        role_id_file=Path(order.role_id_file),
        secret_id_file=Path(order.secret_id_file),
    )
    clients = [Client.make(service) for service in sorted(shape.acl.services)]
    async with open_openbao(settings, METADATA) as session, asyncio.TaskGroup() as tasks:
        store = RegisteringStore(
            OpenBaoSecretStore(session), dict(client.registration for client in clients)
        )
        with ThreadPoolExecutor(_CRYPTO_THREADS, "crypto") as threads:
            desk, responder = _assembled(store, TransitKeyWrap(session), clients, threads)
            responding = tasks.create_task(responder.run())
            yield desk
            responding.cancel()


def _assembled(
    store: RegisteringStore,
    wrap: TransitKeyWrap,
    clients: Sequence[Client],
    threads: ThreadPoolExecutor,
) -> tuple[Desk, BundleResponder]:
    clock = SteppedClock(SystemClock(), _PROFILE)
    crypto = CryptoSuite.of(CryptoPolicy())
    around = Surroundings(clock, system_entropy, _PROFILE, Health(clock), crypto)
    author = Author(_ID, _new_signer())
    audit = AuditLog(store, author, clock)
    audit.anchor(NO_ENTRY, limit=0)
    acls, instances = AclSource(None), InstanceKeys(store, clock)
    ledgers = LedgerKeeper(AuditedStore(store, audit, "ledger"), lambda: _TERM)
    keeper = KeyKeeper(AuditedStore(store, audit, "keys"), wrap)

    def key_issuance() -> KeyIssuance:
        return KeyIssuance(keeper, ledgers, instances, acls, around)

    keys, assembler, bus = key_issuance(), BundleAssembler(around), DirectBus()
    rights = AuditedStore(store, audit, "rights")
    metrics = ManifestMetrics(CollectorRegistry())
    tools = ResponderTools(author, assembler)
    desk = Desk(
        around=around,
        clock=clock,
        store=store,
        rights=RightsKeeper(rights, acls, lambda: _TERM, around, metrics),
        keeper=keeper,
        keys=keys,
        restarted=key_issuance,
        assembler=assembler,
        sealer=BundleSealer(author, system_entropy),
        clients=clients,
        follower=_Followers(store, around, author, bus, threads).of,
    )
    return desk, BundleResponder(cast(Bus, bus), keys, instances, acls, tools, around)


@dataclass(frozen=True, slots=True)
class _Followers:
    """Makes what clients pull with."""

    store: RegisteringStore
    around: Surroundings
    author: Author
    bus: DirectBus
    threads: ThreadPoolExecutor

    def of(self, client: Client) -> BundleFollower:
        owner = Owner(client.service, INSTANCE, client.kem)
        pinned = Statements([PublicIdentity(_ID, Algorithm.ML_DSA_87, self.author.public)])
        documents = PartedDocuments(self.store)
        return BundleFollower(
            Recipient(client.service, INSTANCE, client.author),
            cast(Bus, self.bus),  # of which a pull uses requests only
            SecureChannel(self.around, client.service, self.threads),
            pinned,
            self.around,
            BundleRecovery(owner, documents, pinned, ForgetfulMemory()),
        )


def _new_signer() -> Signer:
    return Signer.from_seed(Algorithm.ML_DSA_87, SecretBytes(system_entropy(SEED_SIZE)))
