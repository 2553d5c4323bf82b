"""Keys for two channels that talk to each other, one way or both ways."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from svc_core.crypto.signing import SEED_SIZE, Algorithm, Signer
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, ServiceName, Subject
from svc_core.domain.keys import (
    KeyRing,
    SigningKey,
    TopicKey,
    TopicPermission,
    VerifyKey,
    topic_key_id,
)
from svc_core.domain.profiles import RotationProfile
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import AUTH_REQUEST, RESPONDER

_TOPIC_KEY_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The rings of both ends."""

    producer: KeyRing
    consumer: KeyRing


def make_rings(
    profile: RotationProfile,
    algorithm: Algorithm,
    *,
    now: datetime,
    entropy: Callable[[int], bytes],
) -> KeyPair:
    """Return rings with the keys of this epoch and of the next, in case it begins meanwhile."""
    made = _Made.of(profile, algorithm, _ASKING, now=now, entropy=entropy)
    return KeyPair(
        producer=_ring(_ASKING.producer, produces=made, consumes=None),
        consumer=_ring(_ASKING.consumer, produces=None, consumes=made),
    )


def make_talking_rings(
    profile: RotationProfile,
    algorithm: Algorithm,
    *,
    now: datetime,
    entropy: Callable[[int], bytes],
) -> KeyPair:
    """Return the same where the consumer answers on a topic of its own."""
    asks = _Made.of(profile, algorithm, _ASKING, now=now, entropy=entropy)
    answers = _Made.of(profile, algorithm, _ANSWERING, now=now, entropy=entropy)
    return KeyPair(
        producer=_ring(_ASKING.producer, produces=asks, consumes=answers),
        consumer=_ring(_ASKING.consumer, produces=answers, consumes=asks),
    )


@dataclass(frozen=True, slots=True)
class _Line:
    topic: Subject
    producer: ServiceName
    consumer: ServiceName


_ASKING: Final = _Line(AUTH_REQUEST, GATEKEEPER, AUTHCONTROLLER)
_ANSWERING: Final = _Line(RESPONDER, AUTHCONTROLLER, GATEKEEPER)


@dataclass(frozen=True, slots=True)
class _Made:
    """What there is on one topic."""

    line: _Line
    signing: list[SigningKey]
    topics: list[TopicKey]

    @classmethod
    def of(
        cls,
        profile: RotationProfile,
        algorithm: Algorithm,
        line: _Line,
        *,
        now: datetime,
        entropy: Callable[[int], bytes],
    ) -> Self:
        current = profile.keys.current(now)
        epochs = (current, Epoch(current.number + 1))
        return cls(
            line,
            [_signing_key(profile, algorithm, line, epoch, entropy) for epoch in epochs],
            [_topic_key(profile, line, epoch, entropy) for epoch in epochs],
        )


def _ring(owner: ServiceName, *, produces: _Made | None, consumes: _Made | None) -> KeyRing:
    lines = [made for made in (produces, consumes) if made is not None]
    return KeyRing.of(
        owner,
        signing=produces.signing if produces else (),
        verify=[_verify_key(key) for key in consumes.signing] if consumes else (),
        topics=[key for made in lines for key in made.topics],
        permissions=[
            TopicPermission(made.line.topic, produce=made is produces, consume=made is consumes)
            for made in lines
        ],
        producers={made.line.topic: frozenset({made.line.producer}) for made in lines},
    )


def _signing_key(
    profile: RotationProfile,
    algorithm: Algorithm,
    line: _Line,
    epoch: Epoch,
    entropy: Callable[[int], bytes],
) -> SigningKey:
    return SigningKey(
        line.producer,
        epoch,
        algorithm,
        SecretBytes(entropy(SEED_SIZE)),
        profile.keys.starts(epoch),
        profile.keys.expires(epoch),
    )


def _verify_key(key: SigningKey) -> VerifyKey:
    public = Signer.from_seed(Algorithm(key.algorithm), key.seed).public
    return VerifyKey(key.service, key.epoch, key.algorithm, public, key.not_before, key.not_after)


def _topic_key(
    profile: RotationProfile, line: _Line, epoch: Epoch, entropy: Callable[[int], bytes]
) -> TopicKey:
    return TopicKey(
        topic_key_id(line.topic, epoch),
        line.topic,
        epoch,
        SecretBytes(entropy(_TOPIC_KEY_SIZE)),
        profile.keys.starts(epoch),
        profile.keys.expires(epoch),
    )
