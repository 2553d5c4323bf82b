"""Who is not named by a diff gets the same bundle as before, key for key."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given

from services.metadata.domain.key_generations import KeyGeneration, data_rights
from services.metadata.domain.key_rings import assemble_ring
from svc_core.domain.acl import Acl
from svc_core.domain.acl_diff import diff_acls
from svc_core.domain.epochs import EpochSchedule
from svc_core.domain.identity import ServiceName, Subject
from svc_core.domain.keys import KeyRing
from svc_core.domain.profiles import PROFILES
from svc_core.domain.secrets import SecretBytes
from tests.builders import fixed_bytes, seeded_entropy
from tests.unit.svc_core.domain.acl_examples import SERVICES, TOPICS, acls

PROFILE = PROFILES["demo"]
SCHEDULE: EpochSchedule = PROFILE.keys
NOW = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=1)
BEFORE = KeyGeneration(
    SCHEDULE.current(NOW),
    {topic: (SecretBytes(fixed_bytes(topic)),) for topic in TOPICS},
    {service: SecretBytes(fixed_bytes(service)) for service in SERVICES},
)


def public_of(_algorithm: str, seed: SecretBytes) -> bytes:
    return seed.reveal()[::-1]


def content(service: ServiceName, acl: Acl, generation: KeyGeneration) -> tuple[object, ...]:
    """Return everything in a bundle, secrets revealed, so that it can be compared."""
    made = ring(service, acl, generation)
    return (
        made.permissions,
        made.producers,
        {name: key.seed.reveal() for name, key in made.signing.items()},
        {name: key.public for name, key in made.verify.items()},
        {name: key.secret.reveal() for name, key in made.topics.items()},
    )


def secrets(generation: KeyGeneration, topic: Subject) -> list[bytes]:
    return [key.reveal() for key in generation.topics[topic]]


def ring(service: ServiceName, acl: Acl, generation: KeyGeneration) -> KeyRing:
    return assemble_ring(service, acl, [generation], SCHEDULE, public_of)


def followed(before: Acl, after: Acl) -> KeyGeneration:
    """Return what becomes of keys made for ``before`` when ``after`` takes its place."""
    made = replace(BEFORE, permissions=data_rights(before))
    return made.caught_up(after, seeded_entropy())


@given(acls, acls)
def test_who_is_not_affected_has_the_same_bundle(before: Acl, after: Acl) -> None:
    diff = diff_acls(before, after)
    generation = followed(before, after)

    for service in before.services.keys() & after.services.keys():
        same = content(service, before, BEFORE) == content(service, after, generation)

        assert same == (service not in diff.bundles)


@given(acls, acls)
def test_nobody_holds_a_key_that_seals_after_a_right_was_withdrawn(before: Acl, after: Acl) -> None:
    generation = followed(before, after)
    epoch = generation.epoch
    sealing = {
        ring(service, after, generation).sealing_key(topic, epoch=epoch, now=NOW).secret.reveal()
        for service, permissions in data_rights(after).services.items()
        for topic in permissions.publish
    }

    for service in before.services:
        held = {
            key.topic: key.secret.reveal() for key in ring(service, before, BEFORE).topics.values()
        }
        has = set(ring(service, after, generation).permissions)
        assert {topic for topic in held.keys() - has if held[topic] in sealing} == set()


@given(acls, acls)
def test_a_topic_on_which_nobody_lost_a_right_keeps_its_keys(before: Acl, after: Acl) -> None:
    kept = set(TOPICS) - set(diff_acls(before, after).topics_to_roll)

    generation = followed(before, after)

    assert {t for t in TOPICS if secrets(generation, t) == secrets(BEFORE, t)} == kept
