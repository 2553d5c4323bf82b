"""Packed topic keys are what tuples of secrets were, with less to keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metadata.domain.topic_keys import KEY_SIZE, TopicKeys
from svc_core.domain.identity import Subject
from svc_core.domain.secrets import SecretBytes
from tests.builders import fixed_bytes, seeded_entropy

secrets = st.binary(min_size=KEY_SIZE, max_size=KEY_SIZE).map(SecretBytes)
keys = st.dictionaries(
    st.sampled_from(["a.b", "a.c", "d"]).map(Subject), st.lists(secrets, min_size=1, max_size=3)
)
ONE = {Subject("a.b"): (SecretBytes(fixed_bytes("one")),)}


def revealed(found: TopicKeys) -> dict[str, list[bytes]]:
    return {topic: [key.reveal() for key in own] for topic, own in found.items()}


@given(keys)
def test_every_key_is_there_in_its_place(own: dict[Subject, list[SecretBytes]]) -> None:
    packed = TopicKeys.of(own)

    assert revealed(packed) == {t: [key.reveal() for key in k] for t, k in own.items()}
    assert packed.counts == {topic: len(k) for topic, k in own.items()}
    assert (len(packed), list(packed)) == (len(own), list(own))
    assert "not.there" not in packed


def test_what_is_packed_stays_as_it_is() -> None:
    packed = TopicKeys.of(ONE)

    assert TopicKeys.of(packed) is packed
    assert packed.grown([], seeded_entropy()) is packed


def test_a_roll_adds_one_behind_the_others_and_leaves_the_rest() -> None:
    packed = TopicKeys.of({**ONE, Subject("d"): (SecretBytes(fixed_bytes("d")),)})

    grown = packed.grown([Subject("a.b"), Subject("new")], seeded_entropy())

    assert grown.counts == {"a.b": 2, "d": 1, "new": 1}
    assert revealed(grown)["a.b"][0] == revealed(packed)["a.b"][0] == fixed_bytes("one")
    assert revealed(grown)["a.b"][1] != revealed(grown)["new"][0]
    assert packed.counts == {"a.b": 1, "d": 1}


@pytest.mark.parametrize("raw", [b"", b"short", fixed_bytes("long", KEY_SIZE + 1)])
def test_what_is_no_whole_number_of_keys_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="wrong size"):
        TopicKeys({Subject("a.b"): raw})


def test_nothing_of_a_key_is_printed() -> None:
    packed = TopicKeys.of(ONE)

    for said in (repr(packed), str(packed), f"{packed}"):
        assert repr(fixed_bytes("one")) not in said
        assert fixed_bytes("one").hex() not in said
