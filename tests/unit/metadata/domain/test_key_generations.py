"""Keys of one epoch: exactly what is wanted is made, and everyone gets exactly what they may."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metadata.domain import key_generations as codec
from services.metadata.domain.key_generations import KeyGeneration, acl_digest, data_topics
from services.metadata.domain.key_rings import assemble_ring
from services.metadata.domain.topic_keys import KEY_SIZE
from svc_core.domain.acl import Acl, acl_from_roles
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER, ServiceName
from svc_core.domain.key_states import KeyState
from svc_core.domain.keys import KeyRing, SigningKey, TopicKey, VerifyKey, topic_key_id
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import AUTH_REQUEST, BUNDLE_PULL, RESPONDER
from svc_core.errors import MalformedMessageError
from tests.builders import DEMO, fixed_bytes, seeded_entropy
from tests.unit.metadata.acls import ACL, roles

EMPTY = KeyGeneration(Epoch(7), {}, {})


def public_of(algorithm: str, seed: SecretBytes) -> bytes:
    return f"{algorithm} of ".encode() + seed.reveal()


def revealed(generation: KeyGeneration) -> dict[str, bytes]:
    """Return every secret by what it is for; only tests may."""
    topics = {
        f"{topic}.{n}": secret.reveal()
        for topic, secrets in generation.topics.items()
        for n, secret in enumerate(secrets)
    }
    return topics | {str(service): seed.reveal() for service, seed in generation.seeds.items()}


def complete(epoch: int = 7) -> KeyGeneration:
    entropy = seeded_entropy(b"epoch %d" % epoch)
    return KeyGeneration(Epoch(epoch), {}, {}).caught_up(ACL, entropy)


def ring(service: ServiceName, acl: Acl = ACL) -> KeyRing:
    return assemble_ring(service, acl, [complete(7), complete(8)], DEMO.keys, public_of)


def test_a_generation_has_a_key_per_data_topic_and_a_seed_per_service() -> None:
    generation = complete()

    assert set(generation.topics) == data_topics(ACL) == {AUTH_REQUEST, RESPONDER}
    assert set(generation.seeds) == {METADATA, WATCHER, GATEKEEPER, AUTHCONTROLLER}
    assert {len(secret) for secret in revealed(generation).values()} == {KEY_SIZE}
    assert len(set(revealed(generation).values())) == len(revealed(generation))


def test_a_complete_generation_is_left_as_it_is() -> None:
    generation = complete()

    def no_entropy(_size: int) -> bytes:
        raise AssertionError("nothing should be made")

    assert generation.caught_up(ACL, no_entropy) is generation


def test_what_is_added_later_leaves_what_there_was() -> None:
    few, _ = acl_from_roles(
        {"gatekeeper": {"publish": [AUTH_REQUEST]}}, known=frozenset(ACL.services)
    )
    before = EMPTY.caught_up(few, seeded_entropy())

    after = before.caught_up(ACL, seeded_entropy(b"later"))

    assert revealed(before).items() <= revealed(after).items()
    assert set(after.topics) == data_topics(ACL)


def test_a_producer_gets_its_signing_keys_and_the_keys_of_its_topics() -> None:
    keys = ring(GATEKEEPER)

    assert set(keys.signing) == {7, 8}
    assert keys.signing[7].seed.reveal() == revealed(complete(7))[GATEKEEPER]
    assert set(keys.topics) == {
        (topic, topic_key_id(topic, Epoch(n)))
        for topic in (AUTH_REQUEST, RESPONDER)
        for n in (7, 8)
    }


def test_verify_keys_are_those_of_the_producers_of_what_it_consumes() -> None:
    assert set(ring(GATEKEEPER).verify) == {(AUTHCONTROLLER, 7), (AUTHCONTROLLER, 8)}
    assert ring(GATEKEEPER).producers == {RESPONDER: frozenset({AUTHCONTROLLER})}
    public = ring(GATEKEEPER).verify[AUTHCONTROLLER, 7].public
    assert public == b"ML-DSA-65 of " + revealed(complete(7))[AUTHCONTROLLER]


@pytest.mark.parametrize("service", [WATCHER, METADATA, ServiceName("stranger")])
def test_who_has_no_data_topic_gets_no_key_at_all(service: ServiceName) -> None:
    keys = ring(service)

    assert (dict(keys.signing), dict(keys.verify), dict(keys.topics)) == ({}, {}, {})


def test_who_only_consumes_gets_no_signing_key() -> None:
    acl, _ = acl_from_roles(
        {"gatekeeper": {"publish": [AUTH_REQUEST]}, "watcher": {"subscribe": [AUTH_REQUEST]}},
        known=frozenset(ACL.services),
    )

    keys = ring(WATCHER, acl)

    assert dict(keys.signing) == {}
    assert set(keys.verify) == {(GATEKEEPER, 7), (GATEKEEPER, 8)}
    assert {topic for topic, _ in keys.topics} == {AUTH_REQUEST}


def test_a_generation_from_before_a_topic_and_a_service_gives_nothing_for_them() -> None:
    old = KeyGeneration(Epoch(6), {}, {})

    keys = assemble_ring(GATEKEEPER, ACL, [old, complete(7)], DEMO.keys, public_of)

    assert set(keys.signing) == {7}
    assert {epoch for _, epoch in keys.verify} == {7}
    assert len(keys.topics) == 2


def test_keys_live_from_their_epoch_for_four_periods() -> None:
    keys = ring(GATEKEEPER)

    every: list[SigningKey | VerifyKey | TopicKey] = [
        *keys.signing.values(),
        *keys.verify.values(),
        *keys.topics.values(),
    ]
    for key in every:
        assert key.not_before == DEMO.keys.starts(key.epoch)
        assert key.not_after == DEMO.keys.expires(key.epoch)


# --- rolls --------------------------------------------------------------------------------------


def without(service: ServiceName, verb: str) -> Acl:
    changed = roles()
    changed[service][verb] = [t for t in changed[service][verb] if t == BUNDLE_PULL]
    acl, _ = acl_from_roles(changed, known=frozenset(ACL.services))
    return acl


def counts(generation: KeyGeneration) -> dict[str, int]:
    return {str(topic): len(keys) for topic, keys in generation.topics.items()}


def test_a_right_that_is_withdrawn_rolls_its_topic_and_no_other() -> None:
    before = complete()

    after = before.caught_up(without(AUTHCONTROLLER, "subscribe"), seeded_entropy(b"roll"))

    assert counts(after) == {AUTH_REQUEST: 2, RESPONDER: 1}
    assert revealed(before).items() <= revealed(after).items()
    assert len(set(revealed(after).values())) == len(revealed(after))


def test_a_right_that_is_granted_rolls_nothing() -> None:
    before = EMPTY.caught_up(without(AUTHCONTROLLER, "subscribe"), seeded_entropy())

    assert counts(before.caught_up(ACL, seeded_entropy(b"later"))) == counts(before)


def test_the_same_rights_again_roll_nothing_and_the_same_loss_again_rolls_again() -> None:
    less = without(AUTHCONTROLLER, "subscribe")
    once = complete().caught_up(less, seeded_entropy(b"1"))
    assert once.caught_up(less, seeded_entropy(b"2")) is once

    twice = once.caught_up(ACL, seeded_entropy(b"3")).caught_up(less, seeded_entropy(b"4"))

    assert counts(twice)[AUTH_REQUEST] == 3


def test_an_ordered_roll_rolls_every_topic_once() -> None:
    rolled = complete().caught_up(ACL, seeded_entropy(b"order"), rolls=1)

    assert counts(rolled) == {AUTH_REQUEST: 2, RESPONDER: 2}
    assert rolled.caught_up(ACL, seeded_entropy(b"again"), rolls=1) is rolled
    assert rolled.caught_up(ACL, seeded_entropy(b"older"), rolls=0) is rolled


def test_a_generation_that_does_not_say_for_whom_it_was_made_is_not_rolled() -> None:
    silent = replace(complete(), permissions=None)

    after = silent.caught_up(without(AUTHCONTROLLER, "subscribe"), seeded_entropy(b"roll"))

    assert counts(after) == counts(silent)
    assert after.permissions is not None


def test_who_is_no_service_any_more_loses_its_seed_and_gets_another_when_it_comes_back() -> None:
    changed = roles()
    del changed[GATEKEEPER]
    acl, _ = acl_from_roles(changed, known=frozenset(ACL.services))
    before = complete()

    gone = before.caught_up(acl, seeded_entropy(b"gone"))
    back = gone.caught_up(ACL, seeded_entropy(b"back"))

    assert GATEKEEPER not in gone.seeds
    assert GATEKEEPER not in before.limited_to(acl).seeds
    assert before.limited_to(ACL) is before
    assert revealed(back)[GATEKEEPER] != revealed(before)[GATEKEEPER]
    assert revealed(back)[AUTHCONTROLLER] == revealed(before)[AUTHCONTROLLER]


def test_a_ring_holds_every_key_of_a_topic_and_seals_with_the_last() -> None:
    generation = complete().caught_up(ACL, seeded_entropy(b"order"), rolls=1)
    now = DEMO.keys.starts(generation.epoch)

    keys = assemble_ring(GATEKEEPER, ACL, [generation], DEMO.keys, public_of)

    ids = [topic_key_id(AUTH_REQUEST, Epoch(7), generation=n) for n in (0, 1)]
    assert {key_id for topic, key_id in keys.topics if topic == AUTH_REQUEST} == set(ids)
    sealing = keys.sealing_key(AUTH_REQUEST, epoch=Epoch(7), now=now)
    assert sealing.key_id == ids[1]
    assert sealing.secret.reveal() == revealed(generation)[f"{AUTH_REQUEST}.1"]
    former = keys.topics[AUTH_REQUEST, ids[0]]
    assert keys.state_of(former, now=now) is KeyState.DECRYPT_ONLY
    assert keys.state_of(sealing, now=now) is KeyState.PRIMARY


# --- the digest of an ACL -----------------------------------------------------------------------


def test_the_digest_does_not_depend_on_the_order_of_the_manifest() -> None:
    turned = {name: dict(reversed(verbs.items())) for name, verbs in reversed(roles().items())}
    acl, _ = acl_from_roles(turned, known=frozenset(ACL.services))

    assert acl_digest(acl) == acl_digest(ACL)


@pytest.mark.parametrize(
    ("service", "verb", "topics"),
    [
        pytest.param("gatekeeper", "publish", [BUNDLE_PULL], id="a topic less"),
        pytest.param("watcher", "subscribe", [AUTH_REQUEST], id="a topic more"),
        pytest.param("gatekeeper", "subscribe", [AUTH_REQUEST, RESPONDER], id="the other verb too"),
    ],
)
def test_the_digest_changes_with_any_permission(service: str, verb: str, topics: list[str]) -> None:
    changed = roles()
    changed[service][verb] = topics
    acl, _ = acl_from_roles(changed, known=frozenset(ACL.services))

    assert acl_digest(acl) != acl_digest(ACL)


def test_the_digest_changes_with_who_is_revoked() -> None:
    assert acl_digest(ACL, [GATEKEEPER]) != acl_digest(ACL)
    assert acl_digest(ACL, []) == acl_digest(ACL)


# --- codec --------------------------------------------------------------------------------------


def test_what_was_encoded_is_decoded_again() -> None:
    generation = complete()

    stored = msgspec.json.decode(msgspec.json.encode(codec.encode(generation)), type=dict)
    found = codec.decode(stored)

    assert found.epoch == generation.epoch
    assert revealed(found) == revealed(generation)
    assert found.shape == generation.shape


def test_a_generation_from_when_a_topic_had_one_key_is_read() -> None:
    document = codec.encode(complete())
    document["topics"] = {topic: keys[0] for topic, keys in document["topics"].items()}
    del document["permissions"], document["rolls"]

    found = codec.decode(document)

    assert revealed(found) == revealed(complete())
    assert (found.permissions, found.rolls) == (None, 0)


junk = st.none() | st.integers() | st.floats() | st.text(max_size=6) | st.lists(st.integers())


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "epoch": junk,
            "topics": junk | st.dictionaries(st.text(max_size=6) | st.just(AUTH_REQUEST), junk),
            "seeds": junk | st.dictionaries(st.text(max_size=6) | st.just("gatekeeper"), junk),
        },
    )
)
def test_any_document_gives_a_generation_or_one_error(document: dict[str, Any]) -> None:
    with suppress(MalformedMessageError):
        codec.decode(document)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"epoch": -1}, id="a negative epoch"),
        pytest.param({"epoch": float("inf")}, id="an epoch without end"),
        pytest.param({"topics": {"a.*": "AAAA"}}, id="a wildcard"),
        pytest.param({"topics": {AUTH_REQUEST: "AAAA"}}, id="a key of three bytes"),
        pytest.param({"topics": {AUTH_REQUEST: []}}, id="a topic without a key"),
        pytest.param({"permissions": {GATEKEEPER: {}}}, id="rights that say nothing"),
        pytest.param({"rolls": "often"}, id="rolls that are no number"),
        pytest.param({"seeds": {GATEKEEPER: "not base64 !"}}, id="not base64"),
        pytest.param({"seeds": []}, id="no mapping"),
    ],
)
def test_a_spoiled_generation_is_refused_without_a_word_of_what_is_in_it(
    change: dict[str, Any],
) -> None:
    with pytest.raises(MalformedMessageError) as caught:
        codec.decode(codec.encode(complete()) | change)

    assert str(caught.value) == "a stored key generation cannot be read"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_secrets_do_not_show_in_a_printed_generation() -> None:
    secret = fixed_bytes("secret")
    generation = KeyGeneration(Epoch(1), {AUTH_REQUEST: (SecretBytes(secret),)}, {})

    assert repr(secret)[2:-1] not in repr(generation)


def test_a_generation_keeps_the_algorithm_it_was_made_with() -> None:
    """The algorithm is a property of the key: a new setting is for new generations only."""
    old = KeyGeneration(Epoch(6), {}, {}, "ML-DSA-44").caught_up(ACL, seeded_entropy())
    new = complete(7)

    keys = assemble_ring(GATEKEEPER, ACL, [old, new], DEMO.keys, public_of)

    assert {n: k.algorithm for n, k in keys.signing.items()} == {6: "ML-DSA-44", 7: "ML-DSA-65"}
    assert codec.decode(codec.encode(old)).algorithm == "ML-DSA-44"


def test_a_generation_stored_before_algorithms_were_is_of_the_first() -> None:
    document = codec.encode(complete())
    del document["algorithm"]

    assert codec.decode(document).algorithm == "ML-DSA-65"
