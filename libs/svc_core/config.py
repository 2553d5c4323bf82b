"""Settings every service shares. Values are parsed once, typed, and refuse nonsense together.

Reading files, the environment and mistakes with their place are `svc_core.settings_loader`'s job;
the domain never sees these models, only the plain values made from them.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from svc_core.crypto.algorithms import Algorithm, KemAlgorithm
from svc_core.crypto.policy import AcceptedAlgorithms, CryptoPolicy, ProviderChoice
from svc_core.domain.durations import parse_duration
from svc_core.domain.identity import Deployment, instance_name
from svc_core.domain.profiles import PROFILES, RotationProfile
from svc_core.domain.signing_mode import SigningMode
from svc_core.domain.subjects import LONGEST_REPEATING

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
"""ISO-8601 (``PT20M``) or a number with its unit (``20s``, ``15m``, ``3h``, ``14d``, ``250ms``)."""


class Section(BaseModel):
    """A group of settings: frozen, no unknown names, documented by its fields' docstrings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class OpenBaoSettings(Section):
    """How this process reaches OpenBao and proves who it is."""

    url: str
    """``https://host:port`` of OpenBao."""
    ca_file: Path
    """PEM file of the CA that signed OpenBao's own listener; pinned, long-lived."""
    role_id_file: Path
    """File with the AppRole role-id."""
    secret_id_file: Path
    """File with the AppRole secret-id; replaced atomically when it rotates, mode 0600."""
    timeout: Duration = timedelta(seconds=5)
    """Time-out of one call."""
    secret_id_period: Duration = timedelta(minutes=5)
    """How often this instance replaces its secret-id."""


class NatsSettings(Section):
    """How this process reaches the NATS cluster."""

    servers: tuple[str, ...] = Field(min_length=1)
    """``tls://host:port`` of every node."""
    publish_window: int = Field(default=512, ge=1, le=16384)
    """Publishes that may wait for their acknowledgement at a time."""
    publish_waiting: int = Field(default=4096, ge=0, le=65536)
    """Publishes that may wait for room in that window; more are refused as overload."""
    connect_timeout: Duration = timedelta(seconds=3)
    """Time-out of one connection attempt."""
    ack_timeout: Duration = timedelta(seconds=1)
    """How long one attempt waits for the broker's acknowledgement before it is repeated."""
    stranded_after: Duration = Field(default=timedelta(seconds=3), gt=timedelta(0))
    """How long a server may acknowledge nothing on a topic before another one is tried with it."""
    publish_deadline: Duration = Field(default=LONGEST_REPEATING, le=LONGEST_REPEATING)
    """How long one publish is repeated before it fails; a stream must still know its id then."""


class TrustSettings(Section):
    """What was pinned out of band, before anything was received."""

    operator_key_file: Path
    """The operator's ML-DSA-87 public key, raw 2,592 bytes in base64."""
    metadata_identities_file: Path
    """The operator-signed list of Metadata's public identity keys."""


class AdminSettings(Section):
    """The HTTPS listener with health, readiness, metrics and status."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(ge=1, le=65535)
    """Port to listen on."""
    dns_names: tuple[str, ...] = ("localhost",)
    """DNS names in the listener's certificate."""
    ip_addresses: tuple[str, ...] = ("127.0.0.1",)
    """IP addresses in the listener's certificate."""
    status_readers: tuple[str, ...] = ()
    """SPIFFE ids whose certificates may read ``/status``; none: the operator's."""
    connections: int = Field(default=100, ge=4, le=10_000)
    """Connections at a time, handshakes under way included; more are closed at once."""
    handshake_timeout: Duration = timedelta(seconds=5)
    """How long a TLS handshake may take."""
    request_timeout: Duration = timedelta(seconds=15)
    """How long a client may take to send a request, and how long an idle connection is kept."""
    former_connections: Duration = timedelta(minutes=1)
    """How long a connection lives on after the certificate it was made with was replaced."""


class LogSettings(Section):
    """Where structured events go."""

    file: Path | None = None
    """JSON lines are appended here; without it they go to standard output."""
    level: str = "info"
    """``debug``, ``info``, ``warning`` or ``error``."""

    @field_validator("level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value not in {"debug", "info", "warning", "error"}:
            raise ValueError("level must be debug, info, warning or error")
        return value


class KubernetesApiSettings(Section):
    """How this process reaches the Kubernetes API; the defaults are those of a pod."""

    url: str = ""
    """``https://host:port``; empty: the API of the cluster this pod runs in."""
    ca_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    """PEM file of the CA that signed the API server's certificate."""
    token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    """File with the bearer token; read again for every call, because the kubelet rotates it."""
    timeout: Duration = timedelta(seconds=5)
    """Time-out of one call; watches are renewed instead."""


class CryptoSettings(Section):
    """Which post-quantum algorithms are used and accepted, and whose implementation.

    To migrate: everybody accepts the new algorithm beside the old, then it is used, then the old
    one is accepted no longer.
    """

    messages: Algorithm = Algorithm.ML_DSA_65
    """Algorithm of new message signing keys: ``ML-DSA-44``, ``ML-DSA-65`` or ``ML-DSA-87``."""
    messages_also: frozenset[Algorithm] = frozenset()
    """Algorithms of message signing keys that are accepted beside it."""
    exchange: KemAlgorithm = KemAlgorithm.ML_KEM_1024
    """Algorithm of the keys that bundles are sealed to: ``ML-KEM-768`` or ``ML-KEM-1024``."""
    exchange_also: frozenset[KemAlgorithm] = frozenset()
    """Algorithms of such keys that are accepted beside it."""
    sign_provider: str = "cryptography"
    """Implementation that signs; a provider that fails its known answers is refused at start."""
    verify_provider: str = "cryptography"
    """Implementation that verifies."""
    encapsulate_provider: str = "cryptography"
    """Implementation that encapsulates: ``cryptography`` or ``pqcrypto``."""
    decapsulate_provider: str = "cryptography"
    """Implementation that decapsulates."""

    def policy(self) -> CryptoPolicy:
        """Return these choices as the registry takes them."""
        return CryptoPolicy(
            messages=AcceptedAlgorithms(self.messages, self.messages_also),
            exchange=AcceptedAlgorithms(self.exchange, self.exchange_also),
            providers=ProviderChoice(
                self.sign_provider,
                self.verify_provider,
                self.encapsulate_provider,
                self.decapsulate_provider,
            ),
        )


class ServiceSettings(Section):
    """What every service needs; each service's own settings extend it."""

    profile: str = "testing"
    """Rotation profile, the same everywhere: ``demo``, ``testing`` or ``production``."""
    trust_domain: str = "securetransport.local"
    """Trust domain of every SPIFFE id."""
    namespace: str = "default"
    """Namespace of every SPIFFE id."""
    instance: str = ""
    """Name of this instance; empty: made once and kept in the state directory."""
    state_dir: Path
    """Identity keys and what must survive a restart; mode 0700."""
    identity_max_age: Duration | None = timedelta(days=30)
    """Age at which the identity and KEM keys of this instance are too old.

    Its next start then makes new ones, under a new name, and registers them. With a configured
    `instance` they stay, since what is registered is never overwritten; none or 0: they always do.
    """
    tls_dir: Path
    """Symlink to the current directory with ``cert.pem`` and ``key.pem`` of the NATS identity."""
    mounted_tls_dir: Path | None = None
    """Directory where somebody else keeps ``tls.crt`` and ``tls.key`` of the NATS identity.

    Without it the certificate is issued by OpenBao. What is mounted must be signed by a trusted
    issuer and bear exactly this service's SPIFFE id.
    """
    openbao: OpenBaoSettings
    nats: NatsSettings
    trust: TrustSettings
    admin: AdminSettings
    log: LogSettings = LogSettings()
    crypto: CryptoSettings = CryptoSettings()
    signing: SigningMode = SigningMode.BATCHED
    """How data messages are signed: ``batched`` (what queues shares a signature) or ``single``."""
    drain: Duration = timedelta(seconds=5)
    """How long a stop may take to finish what was begun."""

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, value: str) -> str:
        if value not in PROFILES:
            raise ValueError(f"profile must be one of {', '.join(sorted(PROFILES))}")
        return value

    @field_validator("instance")
    @classmethod
    def _legal_instance(cls, value: str) -> str:
        return instance_name(value) if value else value

    @property
    def rotation(self) -> RotationProfile:
        """The profile's schedules and derived times."""
        return PROFILES[self.profile]

    @property
    def deployment(self) -> Deployment:
        """The start of every SPIFFE id."""
        return Deployment(self.trust_domain, self.namespace)
