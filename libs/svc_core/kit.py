"""The composition kit: everything a service on this library needs, built and owned in one place.

A service says what it does as loops over a `ServiceKit`; the kit gives it an identity, a session
with OpenBao, certificates that follow the CA, a connection that swaps without a gap, keys that
arrive before they are needed, an admin listener, logs, metrics and exit codes.
"""

import asyncio
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import structlog
import uvloop
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from svc_core.adapters.admin_http import AdminListener
from svc_core.adapters.instance_state import InstanceState, open_instance_state
from svc_core.adapters.nats_connection import NatsConnection, NatsUser, open_bus
from svc_core.adapters.nats_link import LinkCredentials
from svc_core.adapters.openbao import OpenBaoSession, open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.openbao_leaves import OpenBaoCertificateIssuer
from svc_core.adapters.pinned import read_pinned_identities
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.adapters.tls_contexts import client_context, server_context
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.config import ServiceSettings
from svc_core.crypto.signing import Signer
from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.status import InstanceStatus
from svc_core.domain.subjects import CA_CERT, bundle_push
from svc_core.errors import ConfigError, SvcError
from svc_core.flows.approle_renewal import AppRoleRenewal
from svc_core.flows.bundle_following import BundleFollower, Recipient
from svc_core.flows.ca_following import CaFollower, FollowedIdentity
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec
from svc_core.flows.registration import Registration
from svc_core.flows.secure_channel import SecureChannel
from svc_core.flows.statements import Author, Statements
from svc_core.flows.status_reporting import Reporter, StatusReporter
from svc_core.ports.bus import Bus
from svc_core.ports.time import Clock, Entropy
from svc_core.runtime.health import Health
from svc_core.runtime.listening import HintListener
from svc_core.runtime.logs import configure_logging
from svc_core.runtime.metrics import RotationMetrics, StateReadings, export_state
from svc_core.runtime.supervision import Loop, run_until
from svc_core.runtime.surroundings import Surroundings
from svc_core.settings_loader import load_settings, read_arguments
from svc_core.wire.status import signer_of

log = structlog.get_logger()

S = TypeVar("S", bound=ServiceSettings)

_CRYPTO_THREADS: Final = 2
_SWITCH_INTERVAL_S: Final = 0.0005
_STOPPED, _FAILED, _MISCONFIGURED = 0, 1, 2


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

    def follow(self, spec: LeafSpec, *, link: Path | None = None) -> TlsIdentity:
        """Keep one more certificate in step with the CA and return where it lives."""
        build = server_context if spec.server else client_context
        identity = TlsIdentity(self.clock, build, server=spec.server, link=link)
        self.identities.append(FollowedIdentity(spec, identity))
        return identity

    def connect_as(self, account: str) -> NatsConnection:
        """Return a connection of another NATS user, following the CA too; run it as a loop."""
        spec = client_spec(self.settings, account)
        identity = TlsIdentity(self.clock, client_context, server=False)
        connection = _connection(self.settings, account, self.instance, identity, self.entropy)
        self.identities.append(FollowedIdentity(spec, identity, connection))
        return connection


Build = Callable[[ServiceKit[S]], AbstractAsyncContextManager[Sequence[Loop]]]


def client_spec(settings: ServiceSettings, account: str) -> LeafSpec:
    """Return what a NATS user's certificate is for: exactly its SPIFFE id."""
    return LeafSpec(role=account, uris=(settings.deployment.spiffe_id(account),))


async def serve(
    settings: S,
    service: ServiceName,
    build: Build[S],
    stop: asyncio.Event,
) -> None:
    """Run the kit's own loops and those that ``build`` yields, until ``stop`` is set."""
    async with open_kit(settings, service) as kit, build(kit) as loops:
        log.info("service.started", profile=settings.profile, pid=os.getpid())
        await run_until(
            stop,
            [*_own_loops(kit), *loops],
            drain=settings.drain,
            on_interrupted=lambda name, err: kit.health.fail(name, f"{err} [{err.code}]"),
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
        leaf = TlsIdentity(clock, client_context, server=False, link=settings.tls_dir)
        connection = _connection(settings, service, state.instance, leaf, system_entropy)
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
    registry = _registry()
    store = OpenBaoSecretStore(opened.session)
    statements = Statements(read_pinned_identities(settings.trust))
    reader = DesiredReader(store, opened.connection, statements, settings.profile)
    issuing = LeafIssuing(OpenBaoCertificateIssuer(opened.session), around)
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
        connection=opened.connection,
        channel=opened.channel,
    )
    _export(kit, opened.leaf)
    return kit


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
    budget = max(3 * settings.rotation.heartbeat, timedelta(seconds=10))
    loops: list[Loop] = [
        Registration(kit.store, kit.service, kit.instance, kit.author, kit.around),
        kit.follower,
        kit.connection,
        AdminListener(settings.admin, admin.hot_context, kit.health, kit.metrics),
        AppRoleRenewal(kit.session, settings.openbao.secret_id_period, kit.health),
        _reporter(kit),
    ]
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
    # Two periods: one missed pull is mended by the next, or by the first message that needs it.
    kit.health.expect(BundleFollower.name, 2 * kit.settings.rotation.keys.period)
    return [
        bundles,
        HintListener("bundle_hints", kit.bus, bundle_push(kit.service), bundles.hinted),
    ]


def _reporter(kit: ServiceKit[Any]) -> StatusReporter:
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
            )
        )

    reporter = Reporter(kit.service, kit.instance, boot_id, kit.author)
    return StatusReporter(
        reporter,
        observe,
        kit.follower.acknowledged,
        kit.bus,
        kit.around,
    )


def _key_epoch(kit: ServiceKit[Any]) -> int:
    return kit.channel.ring.newest_epoch if kit.channel.version else 0


def _connection(
    settings: ServiceSettings,
    account: str,
    instance: InstanceName,
    identity: TlsIdentity,
    entropy: Entropy,
) -> NatsConnection:
    def credentials() -> LinkCredentials:
        context = identity.context
        material = identity.material
        if material is None:
            raise ConfigError("a context without material")
        return LinkCredentials(context, material.issuer, material.chain_pem)

    return NatsConnection(settings.nats, NatsUser(account, instance), credentials, entropy)


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _export(kit: ServiceKit[Any], leaf: TlsIdentity) -> None:
    def remaining() -> float:
        material = leaf.material
        return material.remaining(kit.clock.now()).total_seconds() if material else 0.0

    export_state(
        kit.metrics,
        StateReadings(
            desired_version=lambda: kit.follower.version,
            key_epoch=lambda: _key_epoch(kit),
            ready=lambda: float(kit.health.report().ready),
            leaf_remaining_s=remaining,
        ),
    )


# --- the process ---------------------------------------------------------------------------------

Serve = Callable[[S, asyncio.Event], Any]


def run(service: ServiceName, settings_type: type[S], serve_service: Serve[S]) -> int:
    """Run one service as a process and return its exit code.

    Returns:
        0 stopped (SIGTERM and SIGINT too), 1 failed, 2 cannot start as it is configured.
    """
    try:
        config = read_arguments(sys.argv[1:], service)
        settings = load_settings(settings_type, config_file=config, environ=os.environ)
        os.umask(0o077)
        # A worker thread must not keep the event loop waiting for 5 ms, Python's own interval.
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signalled(serve_service, settings))
    except ConfigError as err:
        return _complain(service, err, _MISCONFIGURED)
    except SvcError as err:
        return _complain(service, err, _FAILED)
    except OSError as err:
        if err.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        full = ConfigError(f"no space left on the disk of {err.filename or 'the state directory'}")
        return _complain(service, full, _MISCONFIGURED)
    return _STOPPED


async def _until_signalled(serve_service: Serve[S], settings: S) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve_service(settings, stop)


def _complain(service: ServiceName, err: SvcError, code: int) -> int:
    advice = f"; {err.advice}" if err.advice else ""
    sys.stderr.write(f"{service}: {err}{advice} [{err.code}]\n")
    if structlog.is_configured():
        log.error("service.failed", code=err.code, reason=str(err))
    return code
