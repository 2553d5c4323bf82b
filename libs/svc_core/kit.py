"""The composition kit: everything a service on this library needs, built and owned in one place.

A service says what it does as loops over a `ServiceKit`; the kit gives it an identity, a session
with OpenBao, certificates that follow the CA, a connection that swaps without a gap, keys that
arrive before they are needed, an admin listener, logs, metrics and exit codes.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import structlog
from prometheus_client import CollectorRegistry

from svc_core.adapters.admin_http import AdminListener, StatusPage
from svc_core.adapters.instance_state import InstanceState, open_instance_state
from svc_core.adapters.mounted_files import MountedFiles, MountedFilesWatch
from svc_core.adapters.nats_connection import NatsConnection, NatsUser, open_bus
from svc_core.adapters.openbao import OpenBaoSession, open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.openbao_leaves import OpenBaoCertificateIssuer
from svc_core.adapters.pinned import read_pinned_identities
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.adapters.tls_contexts import client_context, server_context
from svc_core.adapters.tls_credentials import link_credentials
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.config import ServiceSettings
from svc_core.crypto.signing import Signer
from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.identity import OPERATOR, InstanceName, ServiceName
from svc_core.domain.status import InstanceStatus
from svc_core.domain.subjects import CA_CERT, bundle_push
from svc_core.domain.tls import LeafNames
from svc_core.errors import SvcError
from svc_core.flows.approle_renewal import AccessorClaims, AppRoleRenewal
from svc_core.flows.bundle_following import BundleFollower, Recipient
from svc_core.flows.ca_following import CaFollower, FollowedIdentity
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec
from svc_core.flows.mounted_leaves import MountedLeaves
from svc_core.flows.registration import Registration
from svc_core.flows.secure_channel import SecureChannel
from svc_core.flows.statements import Author, Statements
from svc_core.flows.status_reporting import Observe, Reporter, StatusReporter
from svc_core.ports.bus import Bus
from svc_core.ports.time import Clock, Entropy
from svc_core.runtime.health import Health
from svc_core.runtime.listening import HintListener
from svc_core.runtime.logs import configure_logging
from svc_core.runtime.metrics import (
    RotationMetrics,
    StateReadings,
    export_state,
    process_registry,
)
from svc_core.runtime.process import Serve, run_process
from svc_core.runtime.recent_errors import RecentErrors
from svc_core.runtime.status_page import Status, StatusSources
from svc_core.runtime.supervision import Loop, run_until
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.tls_watching import TlsWatch, export_tls
from svc_core.settings_loader import load_settings, read_arguments
from svc_core.wire.status import signer_of

log = structlog.get_logger()

S = TypeVar("S", bound=ServiceSettings)

_CRYPTO_THREADS: Final = 2


@dataclass(slots=True)
class ServiceKit(Generic[S]):
    """What a service builds its loops from."""

    service: ServiceName
    instance: InstanceName
    settings: S
    around: Surroundings
    metrics: CollectorRegistry
    workers: ThreadPoolExecutor
    session: OpenBaoSession
    store: OpenBaoSecretStore
    statements: Statements
    signer: Signer
    author: Author
    reader: DesiredReader
    issuing: LeafIssuing
    follower: CaFollower
    identities: list[FollowedIdentity]
    leaves: dict[str, TlsIdentity]
    """The same identities by their role, as they are watched over."""
    errors: RecentErrors
    connection: NatsConnection
    channel: SecureChannel
    extend_status: Callable[[InstanceStatus], InstanceStatus] = field(default=lambda s: s)
    uses_keys: bool = True
    """Whether this service seals or opens messages, and so needs a bundle."""
    hears_hints: bool = True
    """Whether the desired state is announced to this service; the one who announces it knows."""

    @property
    def clock(self) -> Clock:
        """This machine's clock."""
        return self.around.clock

    @property
    def entropy(self) -> Entropy:
        """This machine's entropy."""
        return self.around.entropy

    @property
    def health(self) -> Health:
        """What readiness is counted from."""
        return self.around.health

    @property
    def bus(self) -> Bus:
        """The connection as flows see it."""
        return self.connection

    def interrupted(self, loop: str, error: SvcError) -> None:
        """Note what interrupted a loop, for readiness and the status page."""
        self.health.fail(loop, f"{error} [{error.code}]")
        self.errors.note(loop, error)

    def renew_own(self) -> None:
        """Take the process's own certificate anew, now."""
        self.identities[0].renew_at = None
        self.follower.hinted.set()

    def follow(self, spec: LeafSpec, *, link: Path | None = None) -> TlsIdentity:
        """Keep one more certificate in step with the CA and return where it lives."""
        identity = _identity(self.clock, spec, link)
        self.identities.append(FollowedIdentity(spec, identity))
        self.leaves[spec.role] = identity
        return identity

    def connect_as(self, account: str) -> NatsConnection:
        """Return a connection of another NATS user, following the CA too; run it as a loop."""
        spec = client_spec(self.settings, account)
        identity = _identity(self.clock, spec, None)
        user = NatsUser(account, self.instance)
        connection = _connection(self.settings, user, identity, self.entropy)
        self.identities.append(FollowedIdentity(spec, identity, connection))
        self.leaves[spec.role] = identity
        return connection


Build = Callable[[ServiceKit[S]], AbstractAsyncContextManager[Sequence[Loop]]]


def client_spec(settings: ServiceSettings, account: str) -> LeafSpec:
    """Return what a NATS user's certificate is for: exactly its SPIFFE id."""
    return LeafSpec(role=account, uris=(settings.deployment.spiffe_id(account),))


def _identity(clock: Clock, spec: LeafSpec, link: Path | None) -> TlsIdentity:
    build = server_context if spec.server else client_context
    names = LeafNames(spec.uris, spec.dns, spec.ips)
    return TlsIdentity(clock, build, server=spec.server, link=link, names=names)


async def serve(settings: S, service: ServiceName, build: Build[S], stop: asyncio.Event) -> None:
    """Run the kit's own loops and those that ``build`` yields, until ``stop`` is set."""
    async with open_kit(settings, service) as kit, build(kit) as loops:
        log.info("service.started", profile=settings.profile, pid=os.getpid())
        await run_until(
            stop,
            [*_own_loops(kit), *loops],
            drain=settings.drain,
            on_interrupted=kit.interrupted,
        )
        log.info("service.stopped")


@dataclass(frozen=True, slots=True)
class _Opened:
    """What has to be closed again."""

    workers: ThreadPoolExecutor
    session: OpenBaoSession
    channel: SecureChannel
    leaf: TlsIdentity
    connection: NatsConnection


@asynccontextmanager
async def open_kit(settings: S, service: ServiceName) -> AsyncIterator[ServiceKit[S]]:
    """Open everything a service stands on and close it again in reverse order."""
    clock = SystemClock()
    state = open_instance_state(settings.state_dir, service, settings.instance, system_entropy)
    configure_logging(settings.log, service=service, instance=state.instance)
    crypto = CryptoSuite.of(settings.crypto.policy())
    around = Surroundings(clock, system_entropy, settings.rotation, Health(clock), crypto)
    async with AsyncExitStack() as stack:
        workers = stack.enter_context(ThreadPoolExecutor(_CRYPTO_THREADS, "crypto"))
        session = await stack.enter_async_context(open_openbao(settings.openbao, service))
        channel = await stack.enter_async_context(
            SecureChannel(around, service, workers, signing=settings.signing)
        )
        leaf = _identity(clock, client_spec(settings, service), settings.tls_dir)
        user = NatsUser(service, state.instance)
        connection = _connection(settings, user, leaf, system_entropy)
        await stack.enter_async_context(open_bus(connection))
        opened = _Opened(workers, session, channel, leaf, connection)
        yield _assembled(settings, service, state, around, opened)


def _assembled(
    settings: S,
    service: ServiceName,
    state: InstanceState,
    around: Surroundings,
    opened: _Opened,
) -> ServiceKit[S]:
    registry = process_registry()
    store = OpenBaoSecretStore(opened.session)
    statements = Statements(read_pinned_identities(settings.trust))
    reader = DesiredReader(store, opened.connection, statements, settings.profile)
    issuing = _issuing(settings, service, opened.session, around)
    own = FollowedIdentity(client_spec(settings, service), opened.leaf, opened.connection)
    identities = [own]
    kit = ServiceKit(
        service=service,
        instance=state.instance,
        settings=settings,
        around=around,
        metrics=registry,
        workers=opened.workers,
        session=opened.session,
        store=store,
        statements=statements,
        signer=state.signer,
        author=Author(signer_of(service, state.instance), state.signer),
        reader=reader,
        issuing=issuing,
        follower=CaFollower(reader, issuing, identities, around, RotationMetrics(registry)),
        identities=identities,
        leaves={own.spec.role: opened.leaf},
        errors=RecentErrors(around.clock),
        connection=opened.connection,
        channel=opened.channel,
    )
    _export(kit, opened.leaf)
    return kit


def _issuing(
    settings: ServiceSettings, service: str, session: OpenBaoSession, around: Surroundings
) -> LeafIssuing:
    issuer = OpenBaoCertificateIssuer(session)
    if settings.mounted_tls_dir is None:
        return LeafIssuing(issuer, around)
    return MountedLeaves(issuer, around, service, MountedFiles(settings.mounted_tls_dir))


def _own_loops(kit: ServiceKit[Any]) -> list[Loop]:
    settings = kit.settings
    admin = kit.follow(
        LeafSpec(
            role=f"{kit.service}-admin",
            dns=settings.admin.dns_names,
            ips=settings.admin.ip_addresses,
            server=True,
        )
    )
    observe = _observer(kit)
    budget = max(3 * settings.rotation.heartbeat, timedelta(seconds=10))
    loops: list[Loop] = [
        Registration(kit.store, kit.service, kit.instance, kit.author, kit.around),
        kit.follower,
        kit.connection,
        _admin_listener(kit, admin, observe),
        TlsWatch(kit.leaves, kit.health),
        AppRoleRenewal(
            kit.session,
            settings.openbao.secret_id_period,
            kit.health,
            AccessorClaims(kit.store, kit.service, kit.instance),
        ),
        _reporter(kit, observe),
    ]
    if settings.mounted_tls_dir is not None:
        loops.append(MountedFilesWatch(settings.mounted_tls_dir, kit.renew_own))
    if kit.hears_hints:
        loops.append(HintListener("ca_hints", kit.bus, CA_CERT, kit.follower.hinted))
    for loop in (Registration.name, CaFollower.name, StatusReporter.name):
        kit.health.expect(loop, budget)
    if kit.uses_keys:
        loops += _key_loops(kit)
    return loops


def _key_loops(kit: ServiceKit[Any]) -> list[Loop]:
    bundles = BundleFollower(
        Recipient(kit.service, kit.instance, kit.author),
        kit.bus,
        kit.channel,
        kit.statements,
        kit.around,
    )
    # Whoever waits for everybody to have newer keys should not wait for a heartbeat.
    bundles.adopted = kit.follower.acknowledged
    # Two periods: one missed pull is mended by the next, or by the first message that needs it.
    kit.health.expect(BundleFollower.name, 2 * kit.settings.rotation.keys.period)
    return [
        bundles,
        HintListener("bundle_hints", kit.bus, bundle_push(kit.service), bundles.hinted),
    ]


def _admin_listener(kit: ServiceKit[Any], leaf: TlsIdentity, observe: Observe) -> AdminListener:
    settings = kit.settings.admin
    readers = settings.status_readers or (kit.settings.deployment.spiffe_id(OPERATOR),)
    sources = StatusSources(
        around=kit.around,
        instance=observe,
        desired=lambda: kit.reader.newest,
        leaves=kit.leaves,
        admin_connections=lambda: listener.connections,
        errors=kit.errors,
    )
    page = StatusPage(frozenset(readers), Status(sources).describe)
    listener = AdminListener(settings, leaf.hot_context, kit.health, kit.metrics, page)
    return listener


def _observer(kit: ServiceKit[Any]) -> Observe:
    boot_id = kit.entropy(8).hex()

    def observe() -> InstanceStatus:
        return kit.extend_status(
            InstanceStatus(
                service=kit.service,
                instance=kit.instance,
                boot_id=boot_id,
                sent_at=kit.clock.now(),
                version=kit.follower.version,
                issuer=kit.connection.issuer,
                key_epoch=_key_epoch(kit),
                profile=kit.settings.profile,
                bundle_version=kit.channel.version,
            )
        )

    return observe


def _reporter(kit: ServiceKit[Any], observe: Observe) -> StatusReporter:
    reporter = Reporter(kit.service, kit.instance, observe().boot_id, kit.author)
    return StatusReporter(reporter, observe, kit.follower.acknowledged, kit.bus, kit.around)


def _key_epoch(kit: ServiceKit[Any]) -> int:
    return kit.channel.ring.newest_epoch if kit.channel.version else 0


def _connection(
    settings: ServiceSettings, user: NatsUser, identity: TlsIdentity, entropy: Entropy
) -> NatsConnection:
    return NatsConnection(settings.nats, user, lambda: link_credentials(identity), entropy)


def _export(kit: ServiceKit[Any], leaf: TlsIdentity) -> None:
    export_state(
        kit.metrics,
        StateReadings(
            desired_version=lambda: kit.follower.version,
            key_epoch=lambda: _key_epoch(kit),
            ready=lambda: float(kit.health.report().ready),
            leaf_remaining_s=leaf.remaining_s,
        ),
    )
    export_tls(kit.metrics, kit.leaves)


def run(service: ServiceName, settings_type: type[S], serve_service: Serve[S]) -> int:
    """Run one service as a process and return its exit code.

    Returns:
        0 stopped (SIGTERM and SIGINT too), 1 failed, 2 cannot start as it is configured.
    """

    def load() -> S:
        config = read_arguments(sys.argv[1:], service)
        return load_settings(settings_type, config_file=config, environ=os.environ)

    return run_process(service, load, serve_service)
