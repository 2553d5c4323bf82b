"""`ServiceKit`: what a service builds its loops from."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry

from svc_core.adapters.instance_state import InstanceState
from svc_core.adapters.nats_connection import NatsConnection, NatsUser
from svc_core.adapters.openbao import OpenBaoSession
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.tls_contexts import client_context, server_context
from svc_core.adapters.tls_credentials import link_credentials
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.config import ServiceSettings
from svc_core.crypto.signing import Signer
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.status import InstanceStatus
from svc_core.domain.tls import LeafNames
from svc_core.errors import SvcError
from svc_core.flows.ca_following import CaFollower, FollowedIdentity
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.identity_following import IdentityFollower
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec
from svc_core.flows.secure_channel import SecureChannel
from svc_core.flows.statements import Author, Statements
from svc_core.ports.bus import Bus
from svc_core.ports.time import Clock, Entropy
from svc_core.runtime.health import Health
from svc_core.runtime.recent_errors import RecentErrors
from svc_core.runtime.surroundings import Surroundings

S = TypeVar("S", bound=ServiceSettings)


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
    pinned: IdentityFollower
    """Keeps them as the list of Metadata's identities says."""
    state: InstanceState
    """What this instance keeps on disk: its keys, and the newest bundle it has used."""
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
        identity = tls_identity(self.clock, spec, link)
        self.identities.append(FollowedIdentity(spec, identity))
        self.leaves[spec.role] = identity
        return identity

    def connect_as(self, account: str) -> NatsConnection:
        """Return a connection of another NATS user, following the CA too; run it as a loop."""
        spec = client_spec(self.settings, account)
        identity = tls_identity(self.clock, spec, None)
        user = NatsUser(account, self.instance)
        connection = nats_connection(self.settings, user, identity, self.entropy)
        self.identities.append(FollowedIdentity(spec, identity, connection))
        self.leaves[spec.role] = identity
        return connection


def client_spec(settings: ServiceSettings, account: str) -> LeafSpec:
    """Return what a NATS user's certificate is for: exactly its SPIFFE id."""
    return LeafSpec(role=account, uris=(settings.deployment.spiffe_id(account),))


def tls_identity(clock: Clock, spec: LeafSpec, link: Path | None) -> TlsIdentity:
    """Return an identity as ``spec`` says, published behind ``link`` if there is one."""
    build = server_context if spec.server else client_context
    names = LeafNames(spec.uris, spec.dns, spec.ips)
    return TlsIdentity(clock, build, server=spec.server, link=link, names=names)


def nats_connection(
    settings: ServiceSettings, user: NatsUser, identity: TlsIdentity, entropy: Entropy
) -> NatsConnection:
    """Return a connection of ``user`` that is not open yet."""
    return NatsConnection(settings.nats, user, lambda: link_credentials(identity), entropy)
