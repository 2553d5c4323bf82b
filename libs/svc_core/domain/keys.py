"""Signing keys, topic keys and the ring a service holds of them.

A key is named by its id and belongs to one key epoch; it seals during that epoch and opens until
its validity (four periods) is over. Ids are the prototype's: ``<topic>-epoch-<n>`` for topic keys,
the epoch number for signing keys.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import ServiceName, Subject
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import KeyExpiredError, PermissionDeniedError, UnknownKeyError


def topic_key_id(topic: Subject, epoch: Epoch, *, generation: int = 0) -> str:
    """Return ``<topic>-epoch-<n>``, with ``.<generation>`` when rolled within the epoch."""
    suffix = f".{generation}" if generation else ""
    return f"{topic}-epoch-{epoch.number}{suffix}"


@dataclass(frozen=True, slots=True)
class TopicKey:
    """The AES-256 key of one topic in one key epoch; ``secret`` is 32 bytes."""

    key_id: str
    topic: Subject
    epoch: Epoch
    secret: SecretBytes
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One service's ML-DSA key for one key epoch, as its 32-byte seed."""

    service: ServiceName
    epoch: Epoch
    algorithm: str
    seed: SecretBytes
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """The public half of another service's signing key."""

    service: ServiceName
    epoch: Epoch
    algorithm: str
    public: bytes
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class TopicPermission:
    """What one service may do with one topic."""

    topic: Subject
    produce: bool
    consume: bool


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Every key one service holds; replaced as a whole, never changed."""

    service: ServiceName
    signing: Mapping[int, SigningKey]
    verify: Mapping[tuple[ServiceName, int], VerifyKey]
    topics: Mapping[tuple[Subject, str], TopicKey]
    permissions: Mapping[Subject, TopicPermission]
    producers: Mapping[Subject, frozenset[ServiceName]]

    @classmethod
    def of(
        cls,
        service: ServiceName,
        *,
        signing: Iterable[SigningKey],
        verify: Iterable[VerifyKey],
        topics: Iterable[TopicKey],
        permissions: Iterable[TopicPermission],
        producers: Mapping[Subject, frozenset[ServiceName]],
    ) -> "KeyRing":
        """Index the keys of one bundle."""
        return cls(
            service,
            MappingProxyType({k.epoch.number: k for k in signing}),
            MappingProxyType({(k.service, k.epoch.number): k for k in verify}),
            MappingProxyType({(k.topic, k.key_id): k for k in topics}),
            MappingProxyType({p.topic: p for p in permissions}),
            MappingProxyType(dict(producers)),
        )

    def sealing_key(self, topic: Subject, *, epoch: Epoch, now: datetime) -> TopicKey:
        """Return the newest generation of ``topic``'s key for ``epoch``.

        Raises:
            PermissionDeniedError: this service may not produce on ``topic``.
            UnknownKeyError: no key for that epoch is here (yet).
        """
        permission = self.permissions.get(topic)
        if permission is None or not permission.produce:
            raise PermissionDeniedError(f"{self.service} may not produce on {topic}")
        found = [
            key
            for (key_topic, _), key in self.topics.items()
            if key_topic == topic and key.epoch == epoch and now < key.not_after
        ]
        if not found:
            raise UnknownKeyError(f"no key for {topic} in key epoch {epoch}")
        return max(found, key=lambda key: (len(key.key_id), key.key_id))

    def opening_key(self, topic: Subject, key_id: str, *, now: datetime) -> TopicKey:
        """Return the key ``key_id`` of ``topic`` if it may still open messages.

        Raises:
            PermissionDeniedError: this service may not consume ``topic``.
            UnknownKeyError: the key is not here.
            KeyExpiredError: its validity is over.
        """
        permission = self.permissions.get(topic)
        if permission is None or not permission.consume:
            raise PermissionDeniedError(f"{self.service} may not consume {topic}")
        key = self.topics.get((topic, key_id))
        if key is None:
            raise UnknownKeyError(f"unknown topic key {key_id!r}")
        if now >= key.not_after:
            raise KeyExpiredError(f"topic key {key_id!r} expired at {key.not_after.isoformat()}")
        return key

    def signing_key(self, *, epoch: Epoch) -> SigningKey:
        """Return this service's signing key for ``epoch``, or raise `UnknownKeyError`."""
        try:
            return self.signing[epoch.number]
        except KeyError:
            raise UnknownKeyError(f"no signing key for key epoch {epoch}") from None

    def verify_key(self, signer: ServiceName, epoch: int, *, now: datetime) -> VerifyKey:
        """Return the verify key of ``signer`` for ``epoch``.

        Raises:
            UnknownKeyError: the key is not here.
            KeyExpiredError: its validity is over.
        """
        key = self.verify.get((signer, epoch))
        if key is None:
            raise UnknownKeyError(f"unknown signing key {signer}/{epoch}")
        if now >= key.not_after:
            raise KeyExpiredError(f"signing key {signer}/{epoch} is no longer valid")
        return key

    def may_produce(self, signer: ServiceName, topic: Subject) -> bool:
        """Say whether ``signer`` is one of the producers of ``topic``."""
        return signer in self.producers.get(topic, frozenset())

    @property
    def newest_epoch(self) -> int:
        """Return the highest key epoch this ring can sign in, or -1 when it is empty."""
        return max(self.signing, default=-1)
