"""Values for tests: valid by default, so that a test says only what it is about."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from svc_core.crypto.certificates import new_leaf_key
from svc_core.crypto.policy import AcceptedAlgorithms, CryptoPolicy
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.bundle import BundleRequest, ServiceBundle
from svc_core.domain.desired import DesiredState, TopicGrant, TrustedIssuer
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    GATEKEEPER,
    InstanceName,
    ServiceName,
    Subject,
)
from svc_core.domain.keys import (
    KeyRing,
    SigningKey,
    TopicKey,
    TopicPermission,
    VerifyKey,
    topic_key_id,
)
from svc_core.domain.profiles import PROFILES, RotationProfile
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.signing_mode import SigningMode
from svc_core.domain.status import InstanceStatus, ServerStatus
from svc_core.domain.subjects import AUTH_REQUEST, RESPONDER
from svc_core.flows.secure_channel import SecureChannel
from svc_core.ports.time import Clock
from svc_core.runtime.health import Health
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire import signed_message
from svc_core.wire.signed_message import SignedMessage

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEMO = PROFILES["demo"]
SUITE = CryptoSuite.of(CryptoPolicy(messages=AcceptedAlgorithms.of(*Algorithm)))
"""Tests of rules use the smallest algorithm, so all are accepted."""

P = ParamSpec("P")
R = TypeVar("R")


def seeded_entropy(seed: bytes = b"tests") -> Callable[[int], bytes]:
    """Return entropy that is the same in every run and never repeats itself."""
    draws = iter(range(1 << 62))
    return lambda size: hashlib.shake_256(seed + next(draws).to_bytes(8)).digest(size)


def fixed_bytes(label: str, size: int = 32) -> bytes:
    """Return ``size`` bytes that depend on ``label`` only."""
    return hashlib.shake_256(label.encode()).digest(size)


class InlineExecutor(Executor):
    """Runs each job at once in the caller's thread, so that virtual time stands still for it."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run ``fn`` and return its outcome."""
        done: Future[R] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as err:  # noqa: BLE001 (an executor hands every exception on)
            done.set_exception(err)
        return done


@dataclass
class ManualExecutor(Executor):
    """Holds jobs back until the test runs them."""

    waiting: list[Callable[[], None]] = field(default_factory=list)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Remember ``fn`` for `run_next`."""
        done: Future[R] = Future()

        def run() -> None:
            try:
                done.set_result(fn(*args, **kwargs))
            except Exception as err:  # noqa: BLE001 (an executor hands every exception on)
                done.set_exception(err)

        self.waiting.append(run)
        return done

    def run_next(self) -> None:
        """Run the job that waits longest."""
        self.waiting.pop(0)()


@dataclass
class KeyAuthority:
    """Makes the keys of a small world: one seed per (service, epoch) and (topic, epoch)."""

    profile: RotationProfile = DEMO
    algorithm: Algorithm = Algorithm.ML_DSA_44
    """The smallest by default: tests are about rules, not about sizes."""
    producers: Mapping[Subject, frozenset[ServiceName]] = field(
        default_factory=lambda: {
            AUTH_REQUEST: frozenset({GATEKEEPER}),
            RESPONDER: frozenset({AUTHCONTROLLER}),
        }
    )
    consumers: Mapping[Subject, frozenset[ServiceName]] = field(
        default_factory=lambda: {
            AUTH_REQUEST: frozenset({AUTHCONTROLLER}),
            RESPONDER: frozenset({GATEKEEPER}),
        }
    )

    def epochs(self, now: datetime = NOW) -> tuple[Epoch, ...]:
        """Return the five epochs a bundle made at ``now`` holds keys for."""
        current = self.profile.keys.current(now).number
        return tuple(Epoch(n) for n in range(current - 3, current + 2))

    def signing_key(self, service: ServiceName, epoch: Epoch) -> SigningKey:
        """Return the signing key of ``service`` for ``epoch``."""
        seed = SecretBytes(fixed_bytes(f"seed/{service}/{epoch}"))
        starts, expires = self._life(epoch)
        return SigningKey(service, epoch, self.algorithm, seed, starts, expires)

    def verify_key(self, service: ServiceName, epoch: Epoch) -> VerifyKey:
        """Return the public half of `signing_key`."""
        key = self.signing_key(service, epoch)
        public = Signer.from_seed(self.algorithm, key.seed).public
        return VerifyKey(service, epoch, self.algorithm, public, key.not_before, key.not_after)

    def topic_key(self, topic: Subject, epoch: Epoch, *, generation: int = 0) -> TopicKey:
        """Return the key of ``topic`` for ``epoch``."""
        key_id = topic_key_id(topic, epoch, generation=generation)
        return TopicKey(key_id, topic, epoch, SecretBytes(fixed_bytes(key_id)), *self._life(epoch))

    def ring(
        self,
        service: ServiceName,
        *,
        now: datetime = NOW,
        epochs: Iterable[Epoch] | None = None,
        generations: Sequence[int] = (0,),
    ) -> KeyRing:
        """Return what ``service`` holds at ``now``: all five epochs unless ``epochs`` says else."""
        held = tuple(self.epochs(now) if epochs is None else epochs)
        permissions = [
            TopicPermission(
                topic, service in self.producers[topic], service in self.consumers[topic]
            )
            for topic in self.producers
            if service in self.producers[topic] | self.consumers[topic]
        ]
        signers = {s for p in permissions if p.consume for s in self.producers[p.topic]}
        return KeyRing.of(
            service,
            signing=[self.signing_key(service, e) for e in held],
            verify=[self.verify_key(s, e) for s in sorted(signers) for e in held],
            topics=[
                self.topic_key(p.topic, e, generation=g)
                for p in permissions
                for e in held
                for g in generations
            ],
            permissions=permissions,
            producers={p.topic: self.producers[p.topic] for p in permissions},
        )

    def _life(self, epoch: Epoch) -> tuple[datetime, datetime]:
        return self.profile.keys.starts(epoch), self.profile.keys.expires(epoch)


def make_bundle(
    service: ServiceName = GATEKEEPER, *, version: int = 7, now: datetime = NOW, **changes: Any
) -> ServiceBundle:
    """Return a bundle of ``service`` made at ``now``; it lives for four key periods."""
    values: dict[str, Any] = {
        "service": service,
        "version": version,
        "key_epoch": DEMO.keys.current(now).number,
        "profile": DEMO.name,
        "created_at": now,
        "expires_at": now + DEMO.keys.validity,
        "ring": KeyAuthority().ring(service, now=now),
    }
    return ServiceBundle(**values | changes)


def make_surroundings(clock: Clock, *, health: Health | None = None) -> Surroundings:
    """Return what flows stand in, under the profile ``demo``."""
    return Surroundings(clock, seeded_entropy(), DEMO, health or Health(clock), SUITE)


def make_channel(
    service: ServiceName,
    clock: Clock,
    *,
    ring: KeyRing | None = None,
    workers: Executor | None = None,
    signing: SigningMode = SigningMode.SINGLE,
) -> SecureChannel:
    """Return a channel of ``service`` that holds ``ring`` (its five epochs by default)."""
    around = make_surroundings(clock)
    channel = SecureChannel(around, service, workers or InlineExecutor(), signing=signing)
    channel.adopt(ring or KeyAuthority().ring(service, now=clock.now()), version=1)
    return channel


def make_message(**changes: Any) -> SignedMessage:
    """Return a well-formed message of the gatekeeper; its signature and payload are made up."""
    epoch = DEMO.keys.current(NOW)
    values: dict[str, Any] = {
        "message_id": "run-1-42",
        "message_type": "authRequest",
        "ca_epoch": DEMO.ca.current(NOW).number,
        "key_epoch": epoch.number,
        "signer": GATEKEEPER,
        "signer_key_id": epoch.number,
        "sent_at": NOW,
        "signature": b"signature",
        "topic": AUTH_REQUEST,
        "encrypt_key_id": topic_key_id(AUTH_REQUEST, epoch),
        "payload_type": "authRequest",
        "payload": b"payload",
        "algorithm": "ML-DSA-44",
    }
    return SignedMessage(**values | changes)


def covered(message: SignedMessage) -> bytes:
    """Return what the signature of ``message``, signed by itself, covers."""
    return signed_message.signing_input(signed_message.header_aad(message), message.payload)


def make_request(**changes: Any) -> BundleRequest:
    """Return a bundle request of one gatekeeper."""
    values: dict[str, Any] = {
        "service": GATEKEEPER,
        "instance": InstanceName("gatekeeper-1"),
        "kem_public": fixed_bytes("kem", 1568),
        "nonce": fixed_bytes("nonce"),
        "sent_at": NOW,
    }
    return BundleRequest(**values | changes)


def make_desired(**changes: Any) -> DesiredState:
    """Return a desired state with a successor and an active issuer."""
    values: dict[str, Any] = {
        "version": 3,
        "profile": DEMO.name,
        "active": "ca-100-1",
        "issuers": (
            TrustedIssuer("ca-101-1", 101, "pem 101\n", "route 101\n", NOW + timedelta(minutes=2)),
            TrustedIssuer("ca-100-1", 100, "pem 100\n", "route 100\n", NOW + timedelta(minutes=1)),
        ),
        "root_pem": "root\n",
        "grants": {
            GATEKEEPER: TopicGrant(publish=(AUTH_REQUEST,), subscribe=(RESPONDER,)),
            AUTHCONTROLLER: TopicGrant(publish=(RESPONDER,), subscribe=(AUTH_REQUEST,)),
        },
        "kicked_issuers": ("ca-99-1",),
        "made_at": NOW,
    }
    return DesiredState(**values | changes)


def make_status(**changes: Any) -> InstanceStatus:
    """Return the status of one gatekeeper."""
    values: dict[str, Any] = {
        "service": GATEKEEPER,
        "instance": InstanceName("gatekeeper-1"),
        "boot_id": "boot-1",
        "sent_at": NOW,
        "version": 3,
        "issuer": "ca-100-1",
        "key_epoch": 12,
        "profile": DEMO.name,
        "servers": (ServerStatus("n1", 3, "ca-100-1"), ServerStatus("n2", 2, "", "no reload")),
        "connections": {"ca-100-1": 4, "?": 1},
    }
    return InstanceStatus(**values | changes)


def make_leaf_key(label: str = "leaf") -> SecretBytes:
    """Return an EC private key as PEM that depends on ``label`` only."""
    return new_leaf_key(seeded_entropy(label.encode()))
