"""Signing keys, topic keys and the ring a service holds of them.

A key is named by its id and belongs to one key epoch; what it may do when is said by
`svc_core.domain.key_states`. Ids are the prototype's: ``<topic>-epoch-<n>`` for topic keys, the
epoch number for signing keys.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, TypeVar

from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import ServiceName, Subject
from svc_core.domain.key_states import KeyState, is_young_enough_to_seal, state_at
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


_Name = TypeVar("_Name")
_Key = TypeVar("_Key", TopicKey, SigningKey, VerifyKey)
_NO_GRACE: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Every key one service holds; replaced as a whole, never changed."""

    service: ServiceName
    signing: Mapping[int, SigningKey]
    verify: Mapping[tuple[ServiceName, int], VerifyKey]
    topics: Mapping[tuple[Subject, str], TopicKey]
    permissions: Mapping[Subject, TopicPermission]
    producers: Mapping[Subject, frozenset[ServiceName]]
    _newest: Mapping[tuple[Subject, int], TopicKey] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        newest: dict[tuple[Subject, int], TopicKey] = {}
        for key in self.topics.values():
            place = key.topic, key.epoch.number
            known = newest.get(place)
            if known is None or _generation_order(known) < _generation_order(key):
                newest[place] = key
        object.__setattr__(self, "_newest", MappingProxyType(newest))

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
        """Return the newest generation of ``topic``'s key for ``epoch``; one look-up.

        Which epoch is the caller's choice: the current one, or a fallback while no newer key can
        be had. A key that is STAGED, or older than three periods, is never returned.

        Raises:
            PermissionDeniedError: this service may not produce on ``topic``.
            UnknownKeyError: no key for that epoch is here (yet), or its age forbids it to seal.
        """
        permission = self.permissions.get(topic)
        if permission is None or not permission.produce:
            raise PermissionDeniedError(f"{self.service} may not produce on {topic}")
        key = self._newest.get((topic, epoch.number))
        if key is None:
            raise UnknownKeyError(f"no key for {topic} in key epoch {epoch}")
        if not is_young_enough_to_seal(now, not_before=key.not_before, not_after=key.not_after):
            raise UnknownKeyError(f"topic key {key.key_id!r} may not seal at {now.isoformat()}")
        return key

    def opening_key(self, topic: Subject, key_id: str, *, now: datetime) -> TopicKey:
        """Return the key ``key_id`` of ``topic`` if it may open messages: STAGED keys may too.

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

    def state_of(self, key: TopicKey, *, now: datetime) -> KeyState:
        """Return what ``key`` may be used for at ``now``; DESTROYED if it is not in this ring."""
        if (key.topic, key.key_id) not in self.topics:
            return KeyState.DESTROYED
        newest = self._newest[key.topic, key.epoch.number]
        return state_at(
            now,
            not_before=key.not_before,
            not_after=key.not_after,
            is_newest=key.key_id == newest.key_id,
        )

    def pruned(self, now: datetime, *, grace: timedelta = _NO_GRACE) -> "KeyRing":
        """Return this ring without the keys whose validity is over; itself if there are none.

        Their secrets are gone once nobody holds the former ring, a parsed key or a job made from
        it. Python cannot overwrite them: immutable bytes are freed as they are, and the memory is
        used again at some time.

        Args:
            now: wall time.
            grace: how much longer expired keys are kept, the tolerated skew at most. They do
                nothing in that time; it is for a clock that is set back.
        """
        at = now - grace
        ends = (
            key.not_after
            for keys in (self.topics, self.signing, self.verify)
            for key in keys.values()
        )
        if all(at < end for end in ends):
            return self
        return replace(
            self,
            signing=_still_valid(self.signing, at),
            verify=_still_valid(self.verify, at),
            topics=_still_valid(self.topics, at),
        )

    def may_produce(self, signer: ServiceName, topic: Subject) -> bool:
        """Say whether ``signer`` is one of the producers of ``topic``."""
        return signer in self.producers.get(topic, frozenset())

    @property
    def newest_epoch(self) -> int:
        """Return the highest key epoch this ring can sign in, or -1 when it is empty."""
        return max(self.signing, default=-1)


def _generation_order(key: TopicKey) -> tuple[int, str]:
    """Return what sorts the keys of one topic and epoch by generation: ``.10`` is after ``.9``."""
    return len(key.key_id), key.key_id


def _still_valid(keys: Mapping[_Name, _Key], at: datetime) -> Mapping[_Name, _Key]:
    return MappingProxyType({name: key for name, key in keys.items() if at < key.not_after})
