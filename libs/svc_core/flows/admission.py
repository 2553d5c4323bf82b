"""Which keys of a ring a message may use: pure questions, asked by the secure channel."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cachetools import LRUCache

from svc_core.crypto.signing import Signer, Verifier
from svc_core.crypto.suite import SignatureSuite
from svc_core.domain.epochs import Epoch, EpochSchedule
from svc_core.domain.identity import ServiceName, Subject
from svc_core.domain.key_states import SEALING_PERIODS
from svc_core.domain.keys import KeyRing, SigningKey, TopicKey, VerifyKey
from svc_core.errors import (
    AlgorithmMismatchError,
    KeyNotAvailableError,
    MalformedMessageError,
    ProducerNotAllowedError,
    UnknownKeyError,
)
from svc_core.wire.signed_message import SignedMessage

_CACHED_KEYS: Final = 256


@dataclass(frozen=True, slots=True)
class OpeningKeys:
    """The keys a message named, both valid."""

    topic_key: TopicKey
    verify_key: VerifyKey

    @property
    def not_after(self) -> datetime:
        """Return from when on the message would be refused as expired."""
        return min(self.topic_key.not_after, self.verify_key.not_after)


@dataclass(frozen=True, slots=True)
class SealingKeys:
    """A topic key and a signing key of the same epoch, both valid."""

    topic_key: TopicKey
    signing_key: SigningKey


def admit(ring: KeyRing, message: SignedMessage, *, now: datetime) -> OpeningKeys:
    """Return the keys to open ``message`` with, or refuse it by its header.

    Raises:
        ProducerNotAllowedError: its signer may not produce on its topic.
        PermissionDeniedError: this service may not consume it.
        UnknownKeyError, KeyExpiredError: about either of its keys.
        AlgorithmMismatchError: it names another algorithm than its key has.
        MalformedMessageError: its two keys are of different epochs.
    """
    if not ring.may_produce(message.signer, message.topic):
        raise ProducerNotAllowedError(f"{message.signer} may not produce on {message.topic}")
    topic_key = ring.opening_key(message.topic, message.encrypt_key_id, now=now)
    verify_key = ring.verify_key(message.signer, message.signer_key_id, now=now)
    if message.algorithm != verify_key.algorithm:
        raise AlgorithmMismatchError(f"{message.algorithm} instead of {verify_key.algorithm}")
    if topic_key.epoch != verify_key.epoch:
        raise MalformedMessageError("topic key and signing key are of different epochs")
    return OpeningKeys(topic_key, verify_key)


def choose_sealing_keys(
    ring: KeyRing, topic: Subject, *, schedule: EpochSchedule, now: datetime
) -> SealingKeys:
    """Return the newest keys to seal with: this epoch's, or at most two epochs older.

    Older ones bridge a time without the authority; they have a period of their life left, so
    whoever receives the message can still open it.

    Raises:
        PermissionDeniedError: this service may not produce on ``topic``.
        KeyNotAvailableError: there are none.
    """
    current = schedule.current(now).number
    for number in range(current, max(current - SEALING_PERIODS, -1), -1):
        epoch = Epoch(number)
        try:
            topic_key = ring.sealing_key(topic, epoch=epoch, now=now)
            signing_key = ring.signing_key(epoch=epoch)
        except UnknownKeyError:
            continue
        if now < signing_key.not_after:
            return SealingKeys(topic_key, signing_key)
    raise KeyNotAvailableError(f"{ring.service} has no key for {topic} in key epoch {current}")


class ParsedKeys:
    """Signers and verifiers of one ring, parsed once; bounded."""

    def __init__(self, suite: SignatureSuite) -> None:
        self._suite = suite
        self._signers: LRUCache[int, Signer] = LRUCache(_CACHED_KEYS)
        self._verifiers: LRUCache[tuple[ServiceName, int], Verifier] = LRUCache(_CACHED_KEYS)

    def signer(self, key: SigningKey) -> Signer:
        """Return ``key`` parsed; `AlgorithmRefusedError` if its algorithm is not accepted."""
        signer = self._signers.get(key.epoch.number)
        if signer is None:
            signer = self._suite.signer(key.seed, algorithm=key.algorithm)
            self._signers[key.epoch.number] = signer
        return signer

    def verifier(self, key: VerifyKey) -> Verifier:
        """Return ``key`` parsed; `AlgorithmRefusedError` if its algorithm is not accepted."""
        name = (key.service, key.epoch.number)
        verifier = self._verifiers.get(name)
        if verifier is None:
            verifier = self._suite.verifier(key.algorithm, key.public)
            self._verifiers[name] = verifier
        return verifier
