"""The keys of one key epoch: which are wanted, what is stored, and the rings made from them."""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from svc_core.domain.acl import Acl
from svc_core.domain.epochs import Epoch, EpochSchedule
from svc_core.domain.identity import ServiceName, Subject, service_name, subject
from svc_core.domain.keys import KeyRing, SigningKey, TopicKey, VerifyKey, topic_key_id
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import is_data_topic
from svc_core.errors import MalformedMessageError

KEY_SIZE: Final = 32
FIRST_ALGORITHM: Final = "ML-DSA-65"
"""What generations that do not say are of."""
KEPT_EPOCHS: Final = 4
"""Epochs N-3 … N open; with N+1 made in the lead, a ring holds at most five."""

PublicOf = Callable[[str, SecretBytes], bytes]
"""How a public key follows from the name of its algorithm and its seed."""


@dataclass(frozen=True, slots=True)
class KeyGeneration:
    """Every secret made for one key epoch: 32 bytes per topic, a 32-byte seed per service."""

    epoch: Epoch
    topics: Mapping[Subject, SecretBytes]
    seeds: Mapping[ServiceName, SecretBytes]
    algorithm: str = FIRST_ALGORITHM
    """Of the signing keys; chosen when the first of them is made and never changed."""

    def completed(self, acl: Acl, entropy: Callable[[int], bytes]) -> "KeyGeneration":
        """Return this generation with what ``acl`` wants and is missing; itself when complete."""
        topics = {t: SecretBytes(entropy(KEY_SIZE)) for t in data_topics(acl) - set(self.topics)}
        seeds = {s: SecretBytes(entropy(KEY_SIZE)) for s in set(acl.services) - set(self.seeds)}
        if not topics and not seeds:
            return self
        return replace(self, topics={**self.topics, **topics}, seeds={**self.seeds, **seeds})


def data_topics(acl: Acl) -> frozenset[Subject]:
    """Return the topics that carry sealed messages, and so need keys."""
    return frozenset(t for t in acl.topics if is_data_topic(t))


def encode(generation: KeyGeneration) -> dict[str, Any]:
    """Return the generation as a JSON-shaped document; it holds secrets and must be wrapped."""
    return {
        "epoch": generation.epoch.number,
        "topics": {t: b64encode(k.reveal()).decode() for t, k in generation.topics.items()},
        "seeds": {s: b64encode(k.reveal()).decode() for s, k in generation.seeds.items()},
        "algorithm": generation.algorithm,
    }


def decode(document: Mapping[str, Any]) -> KeyGeneration:
    """Return the generation in ``document``, or raise `MalformedMessageError`."""
    try:
        return KeyGeneration(
            Epoch(int(document["epoch"])),
            {subject(t): _secret(k) for t, k in document["topics"].items()},
            {service_name(s): _secret(k) for s, k in document["seeds"].items()},
            str(document.get("algorithm", FIRST_ALGORITHM)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        # No cause: it could quote what it could not read.
        raise MalformedMessageError("a stored key generation cannot be read") from None


def assemble_ring(
    service: ServiceName,
    acl: Acl,
    generations: Iterable[KeyGeneration],
    schedule: EpochSchedule,
    public_of: PublicOf,
) -> KeyRing:
    """Return exactly the keys ``service`` may have: its own, its topics', its producers'."""
    permissions = [p for p in acl.permissions(service) if is_data_topic(p.topic)]
    consumed = [p.topic for p in permissions if p.consume]
    producers = {t: acl.producers(t) for t in consumed}
    signers = frozenset().union(*producers.values()) if producers else frozenset()
    kept = tuple(generations)
    return KeyRing.of(
        service,
        signing=[
            _signing_key(service, g, schedule)
            for g in kept
            if service in g.seeds and any(p.produce for p in permissions)
        ],
        verify=[
            _verify_key(signer, g, schedule, public_of)
            for g in kept
            for signer in sorted(signers)
            if signer in g.seeds
        ],
        topics=[
            _topic_key(p.topic, g, schedule)
            for g in kept
            for p in permissions
            if p.topic in g.topics
        ],
        permissions=permissions,
        producers=producers,
    )


def acl_digest(acl: Acl) -> str:
    """Return a short digest that changes whenever anyone's permissions do."""
    text = "\n".join(
        f"{service}:{verb}:{topic}"
        for service, permissions in sorted(acl.services.items())
        for verb, topics in (("p", permissions.publish), ("s", permissions.subscribe))
        for topic in sorted(topics)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _signing_key(
    service: ServiceName, generation: KeyGeneration, schedule: EpochSchedule
) -> SigningKey:
    starts, ends = schedule.starts(generation.epoch), schedule.expires(generation.epoch)
    seed = generation.seeds[service]
    return SigningKey(service, generation.epoch, generation.algorithm, seed, starts, ends)


def _verify_key(
    service: ServiceName, generation: KeyGeneration, schedule: EpochSchedule, public_of: PublicOf
) -> VerifyKey:
    starts, ends = schedule.starts(generation.epoch), schedule.expires(generation.epoch)
    public = public_of(generation.algorithm, generation.seeds[service])
    return VerifyKey(service, generation.epoch, generation.algorithm, public, starts, ends)


def _topic_key(topic: Subject, generation: KeyGeneration, schedule: EpochSchedule) -> TopicKey:
    return TopicKey(
        topic_key_id(topic, generation.epoch),
        topic,
        generation.epoch,
        generation.topics[topic],
        schedule.starts(generation.epoch),
        schedule.expires(generation.epoch),
    )


def _secret(text: str) -> SecretBytes:
    raw = b64decode(text, validate=True)
    if len(raw) != KEY_SIZE:
        raise ValueError("a key of the wrong size")
    return SecretBytes(raw)
