"""Opens everything a service stands on, in order, and puts the kit together."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from svc_core.adapters.instance_state import InstanceState, KeyAge, open_instance_state
from svc_core.adapters.mounted_files import MountedFiles
from svc_core.adapters.nats_connection import NatsConnection, NatsUser, open_bus
from svc_core.adapters.openbao import OpenBaoSession, open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.openbao_leaves import OpenBaoCertificateIssuer
from svc_core.adapters.pinned import PinnedList
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.config import ServiceSettings
from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.identity import ServiceName
from svc_core.flows.ca_following import CaFollower, FollowedIdentity
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.identity_following import IdentityFollower
from svc_core.flows.leaf_issuing import LeafIssuing
from svc_core.flows.mounted_leaves import MountedLeaves
from svc_core.flows.secure_channel import SecureChannel
from svc_core.flows.statements import Author, Statements
from svc_core.kit.own_loops import key_epoch
from svc_core.kit.service_kit import S, ServiceKit, client_spec, nats_connection, tls_identity
from svc_core.runtime.connection_metrics import export_connection
from svc_core.runtime.health import Health
from svc_core.runtime.logs import configure_logging
from svc_core.runtime.metrics import (
    RotationMetrics,
    StateReadings,
    export_state,
    process_registry,
)
from svc_core.runtime.publish_metrics import export_publishing
from svc_core.runtime.recent_errors import RecentErrors
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.tls_watching import export_tls
from svc_core.wire.status import signer_of

log = structlog.get_logger()

_CRYPTO_THREADS: Final = 2


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
    age = KeyAge(clock.now(), settings.identity_max_age)
    state = open_instance_state(settings.state_dir, service, settings.instance, system_entropy, age)
    configure_logging(settings.log, service=service, instance=state.instance)
    _report_age(state)
    crypto = CryptoSuite.of(settings.crypto.policy())
    around = Surroundings(clock, system_entropy, settings.rotation, Health(clock), crypto)
    async with AsyncExitStack() as stack:
        workers = stack.enter_context(ThreadPoolExecutor(_CRYPTO_THREADS, "crypto"))
        session = await stack.enter_async_context(open_openbao(settings.openbao, service))
        channel = await stack.enter_async_context(
            SecureChannel(around, service, workers, signing=settings.signing)
        )
        leaf = tls_identity(clock, client_spec(settings, service), settings.tls_dir)
        user = NatsUser(service, state.instance)
        connection = nats_connection(settings, user, leaf, system_entropy)
        await stack.enter_async_context(open_bus(connection))
        opened = _Opened(workers, session, channel, leaf, connection)
        yield _assembled(settings, service, state, around, opened)


def _report_age(state: InstanceState) -> None:
    if state.is_new:
        log.info("identity.replaced", instance=state.instance)
    elif state.is_overdue:
        log.warning(
            "identity.overdue", made_at=state.made_at.isoformat(), reason="its name is configured"
        )


def _assembled(
    settings: S,
    service: ServiceName,
    state: InstanceState,
    around: Surroundings,
    opened: _Opened,
) -> ServiceKit[S]:
    registry = process_registry()
    store = OpenBaoSecretStore(opened.session)
    pinned = PinnedList(settings.trust)
    listed = pinned.read()
    statements = Statements(listed.identities)
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
        pinned=IdentityFollower(pinned, listed, statements, around.health, registry),
        state=state,
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


def _export(kit: ServiceKit[Any], leaf: TlsIdentity) -> None:
    export_state(
        kit.metrics,
        StateReadings(
            desired_version=lambda: kit.follower.version,
            key_epoch=lambda: key_epoch(kit),
            ready=lambda: float(kit.health.report().ready),
            leaf_remaining_s=leaf.remaining_s,
        ),
    )
    export_tls(kit.metrics, kit.leaves)
    export_publishing(kit.metrics, kit.connection.publishing)
    export_connection(kit.metrics, kit.connection)
