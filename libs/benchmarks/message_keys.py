"""Keys for two channels that talk to each other: one producer, one consumer, one topic."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from svc_core.crypto.signing import SEED_SIZE, Algorithm, Signer
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
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
from svc_core.domain.subjects import AUTH_REQUEST

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
    current = profile.keys.current(now)
    epochs = (current, Epoch(current.number + 1))
    signing = [_signing_key(profile, algorithm, epoch, entropy) for epoch in epochs]
    topics = [_topic_key(profile, epoch, entropy) for epoch in epochs]
    producers = {AUTH_REQUEST: frozenset({GATEKEEPER})}
    producer = KeyRing.of(
        GATEKEEPER,
        signing=signing,
        verify=(),
        topics=topics,
        permissions=[TopicPermission(AUTH_REQUEST, produce=True, consume=False)],
        producers=producers,
    )
    consumer = KeyRing.of(
        AUTHCONTROLLER,
        signing=(),
        verify=[_verify_key(key) for key in signing],
        topics=topics,
        permissions=[TopicPermission(AUTH_REQUEST, produce=False, consume=True)],
        producers=producers,
    )
    return KeyPair(producer, consumer)


def _signing_key(
    profile: RotationProfile,
    algorithm: Algorithm,
    epoch: Epoch,
    entropy: Callable[[int], bytes],
) -> SigningKey:
    return SigningKey(
        GATEKEEPER,
        epoch,
        algorithm,
        SecretBytes(entropy(SEED_SIZE)),
        profile.keys.starts(epoch),
        profile.keys.expires(epoch),
    )


def _verify_key(key: SigningKey) -> VerifyKey:
    public = Signer.from_seed(Algorithm(key.algorithm), key.seed).public
    return VerifyKey(key.service, key.epoch, key.algorithm, public, key.not_before, key.not_after)


def _topic_key(profile: RotationProfile, epoch: Epoch, entropy: Callable[[int], bytes]) -> TopicKey:
    return TopicKey(
        topic_key_id(AUTH_REQUEST, epoch),
        AUTH_REQUEST,
        epoch,
        SecretBytes(entropy(_TOPIC_KEY_SIZE)),
        profile.keys.starts(epoch),
        profile.keys.expires(epoch),
    )
