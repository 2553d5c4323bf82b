"""The ring of one service, from the generations there are: exactly the keys its rights allow."""

from collections.abc import Callable, Iterable, Iterator

from services.metadata.domain.key_generations import KeyGeneration
from svc_core.domain.acl import Acl
from svc_core.domain.epochs import EpochSchedule
from svc_core.domain.identity import ServiceName, Subject
from svc_core.domain.keys import KeyRing, SigningKey, TopicKey, VerifyKey, topic_key_id
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import is_data_topic

PublicOf = Callable[[str, SecretBytes], bytes]
"""How a public key follows from the name of its algorithm and its seed."""


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
            key
            for g in kept
            for p in permissions
            if p.topic in g.topics
            for key in _topic_keys(p.topic, g, schedule)
        ],
        permissions=permissions,
        producers=producers,
    )


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


def _topic_keys(
    topic: Subject, generation: KeyGeneration, schedule: EpochSchedule
) -> Iterator[TopicKey]:
    for number, secret in enumerate(generation.topics[topic]):
        yield TopicKey(
            topic_key_id(topic, generation.epoch, generation=number),
            topic,
            generation.epoch,
            secret,
            schedule.starts(generation.epoch),
            schedule.expires(generation.epoch),
        )
