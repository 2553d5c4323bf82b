from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest

from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, Subject
from svc_core.domain.key_states import KeyState
from svc_core.domain.keys import (
    KeyRing,
    SigningKey,
    TopicKey,
    TopicPermission,
    VerifyKey,
    topic_key_id,
)
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import KeyExpiredError, PermissionDeniedError, UnknownKeyError

PERIOD = timedelta(minutes=15)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EPOCH = Epoch.at(NOON, period=PERIOD)
OUT = Subject("auth.auth-request")
IN = Subject("gatekeeper.responder")
FOREIGN = Subject("somebody.else")
START = EPOCH.start(period=PERIOD)
EXPIRY = START + 4 * PERIOD
MOMENT = timedelta(microseconds=1)


def topic_key(topic: Subject, epoch: Epoch = EPOCH, generation: int = 0) -> TopicKey:
    start = epoch.start(period=PERIOD)
    key_id = topic_key_id(topic, epoch, generation=generation)
    return TopicKey(key_id, topic, epoch, SecretBytes(bytes(32)), start, start + 4 * PERIOD)


def ring(topics: Iterable[TopicKey] = ()) -> KeyRing:
    times = EPOCH.start(period=PERIOD), EXPIRY
    seed = SecretBytes(bytes(32))
    return KeyRing.of(
        GATEKEEPER,
        signing=[SigningKey(GATEKEEPER, EPOCH, "ML-DSA-65", seed, *times)],
        verify=[VerifyKey(AUTHCONTROLLER, EPOCH, "ML-DSA-65", b"public", *times)],
        topics=topics,
        permissions=[
            TopicPermission(OUT, produce=True, consume=False),
            TopicPermission(IN, produce=False, consume=True),
        ],
        producers={OUT: frozenset({GATEKEEPER}), IN: frozenset({AUTHCONTROLLER})},
    )


def test_key_ids_name_topic_epoch_and_generation() -> None:
    assert topic_key_id(OUT, Epoch(7)) == "auth.auth-request-epoch-7"
    assert topic_key_id(OUT, Epoch(7), generation=2) == "auth.auth-request-epoch-7.2"


class TestSealing:
    def test_the_key_of_the_epoch_seals(self) -> None:
        keys = [topic_key(OUT, Epoch(EPOCH.number - 1)), topic_key(OUT), topic_key(IN)]

        assert ring(keys).sealing_key(OUT, epoch=EPOCH, now=NOON) is keys[1]

    @pytest.mark.parametrize("generations", [(0, 1, 2), (9, 10, 2), (0, 11, 9)])
    def test_the_newest_generation_seals(self, generations: tuple[int, ...]) -> None:
        keys = ring(topic_key(OUT, generation=g) for g in generations)

        chosen = keys.sealing_key(OUT, epoch=EPOCH, now=NOON)

        assert chosen.key_id == topic_key_id(OUT, EPOCH, generation=max(generations))

    @pytest.mark.parametrize("topic", [IN, FOREIGN])
    def test_only_a_producer_may_seal(self, topic: Subject) -> None:
        with pytest.raises(PermissionDeniedError, match="may not produce"):
            ring([topic_key(topic)]).sealing_key(topic, epoch=EPOCH, now=NOON)

    def test_a_key_of_another_epoch_does_not_seal(self) -> None:
        with pytest.raises(UnknownKeyError, match="no key for"):
            ring([topic_key(OUT)]).sealing_key(OUT, epoch=EPOCH.next(), now=NOON)

    @pytest.mark.parametrize(
        "now",
        [
            pytest.param(START - MOMENT, id="staged"),
            pytest.param(START + 3 * PERIOD, id="in its last period"),
            pytest.param(EXPIRY, id="expired"),
        ],
    )
    def test_a_key_that_is_too_young_or_too_old_does_not_seal(self, now: datetime) -> None:
        with pytest.raises(UnknownKeyError, match="may not seal at"):
            ring([topic_key(OUT)]).sealing_key(OUT, epoch=EPOCH, now=now)

    @pytest.mark.parametrize("now", [START, START + 3 * PERIOD - MOMENT])
    def test_a_key_may_seal_for_three_periods(self, now: datetime) -> None:
        key = topic_key(OUT)

        assert ring([key]).sealing_key(OUT, epoch=EPOCH, now=now) is key

    def test_each_of_ten_thousand_topics_finds_its_key(self) -> None:
        topics = [Subject(f"topic.number-{n}") for n in range(10_000)]
        epochs = [Epoch(EPOCH.number + step) for step in range(-3, 2)]
        many = KeyRing.of(
            GATEKEEPER,
            signing=[],
            verify=[],
            topics=[topic_key(topic, epoch) for topic in topics for epoch in epochs],
            permissions=[TopicPermission(topic, produce=True, consume=False) for topic in topics],
            producers={},
        )

        found = [many.sealing_key(topic, epoch=EPOCH, now=NOON).key_id for topic in topics]

        assert found == [topic_key_id(topic, EPOCH) for topic in topics]


class TestOpening:
    def test_a_key_opens_until_its_validity_is_over(self) -> None:
        key = topic_key(IN)
        last_moment = EXPIRY - timedelta(microseconds=1)

        assert ring([key]).opening_key(IN, key.key_id, now=last_moment) is key

    def test_then_no_longer(self) -> None:
        key = topic_key(IN)

        with pytest.raises(KeyExpiredError, match="expired at"):
            ring([key]).opening_key(IN, key.key_id, now=EXPIRY)

    def test_a_staged_key_opens_for_a_peer_whose_clock_is_ahead(self) -> None:
        key = topic_key(IN)

        assert ring([key]).opening_key(IN, key.key_id, now=START - MOMENT) is key

    @pytest.mark.parametrize("topic", [OUT, FOREIGN])
    def test_only_a_consumer_may_open(self, topic: Subject) -> None:
        key = topic_key(topic)

        with pytest.raises(PermissionDeniedError, match="may not consume"):
            ring([key]).opening_key(topic, key.key_id, now=NOON)

    def test_the_key_of_another_topic_does_not_open(self) -> None:
        other = topic_key(OUT)

        with pytest.raises(UnknownKeyError):
            ring([other]).opening_key(IN, other.key_id, now=NOON)


class TestStates:
    @pytest.mark.parametrize(
        ("now", "state"),
        [
            pytest.param(START - MOMENT, KeyState.STAGED, id="before its epoch"),
            pytest.param(START, KeyState.PRIMARY, id="in its epoch"),
            pytest.param(START + PERIOD, KeyState.DECRYPT_ONLY, id="after its epoch"),
            pytest.param(EXPIRY, KeyState.DESTROYED, id="after its life"),
        ],
    )
    def test_the_state_of_a_key_follows_from_the_clock(
        self, now: datetime, state: KeyState
    ) -> None:
        key = topic_key(OUT)

        assert ring([key]).state_of(key, now=now) is state

    def test_only_the_newest_generation_is_primary(self) -> None:
        keys = [topic_key(OUT, generation=g) for g in (9, 10, 0)]
        held = ring(keys)

        states = [held.state_of(key, now=NOON) for key in keys]

        assert states == [KeyState.DECRYPT_ONLY, KeyState.PRIMARY, KeyState.DECRYPT_ONLY]

    def test_a_generation_of_another_topic_or_epoch_supersedes_nothing(self) -> None:
        key = topic_key(OUT)
        held = ring([key, topic_key(IN, generation=1), topic_key(OUT, EPOCH.next(), generation=1)])

        assert held.state_of(key, now=NOON) is KeyState.PRIMARY

    def test_a_key_that_is_not_here_is_destroyed(self) -> None:
        assert ring().state_of(topic_key(OUT), now=NOON) is KeyState.DESTROYED


class TestPruning:
    def test_every_kind_of_key_goes_when_its_validity_is_over(self) -> None:
        left = ring([topic_key(OUT), topic_key(IN)]).pruned(EXPIRY)

        assert (len(left.topics), len(left.signing), len(left.verify)) == (0, 0, 0)
        with pytest.raises(UnknownKeyError):
            left.sealing_key(OUT, epoch=EPOCH, now=NOON)

    def test_what_is_still_valid_stays_in_use(self) -> None:
        older, newer = topic_key(OUT), topic_key(OUT, EPOCH.next())

        left = ring([older, newer]).pruned(EXPIRY)

        assert dict(left.topics) == {(OUT, newer.key_id): newer}
        assert left.state_of(newer, now=EXPIRY) is KeyState.DECRYPT_ONLY

    def test_permissions_outlive_the_keys(self) -> None:
        before = ring()

        left = before.pruned(EXPIRY)

        assert (left.permissions, left.producers) == (before.permissions, before.producers)

    def test_a_ring_without_expired_keys_is_left_as_it_is(self) -> None:
        before = ring([topic_key(OUT)])

        assert before.pruned(EXPIRY - MOMENT) is before

    @pytest.mark.parametrize(("now", "left"), [(EXPIRY + PERIOD - MOMENT, 1), (EXPIRY + PERIOD, 0)])
    def test_grace_keeps_expired_keys_a_while_longer(self, now: datetime, left: int) -> None:
        assert len(ring([topic_key(OUT)]).pruned(now, grace=PERIOD).topics) == left

    def test_a_key_kept_by_grace_does_nothing(self) -> None:
        key = topic_key(IN)
        held = ring([key]).pruned(EXPIRY, grace=PERIOD)

        assert held.state_of(key, now=EXPIRY) is KeyState.DESTROYED
        with pytest.raises(KeyExpiredError):
            held.opening_key(IN, key.key_id, now=EXPIRY)

    def test_nothing_of_the_new_ring_leads_to_a_destroyed_secret(self) -> None:
        key = topic_key(OUT)
        left = ring([key]).pruned(EXPIRY)

        assert not any(
            found is key for held in (left.topics, left._newest) for found in held.values()
        )


class TestSignatures:
    def test_the_signing_key_is_that_of_the_epoch(self) -> None:
        assert ring().signing_key(epoch=EPOCH).epoch == EPOCH
        with pytest.raises(UnknownKeyError):
            ring().signing_key(epoch=EPOCH.next())

    def test_a_verify_key_is_valid_as_long_as_its_signatures(self) -> None:
        assert ring().verify_key(AUTHCONTROLLER, EPOCH.number, now=NOON).public == b"public"

    @pytest.mark.parametrize(
        ("look_up", "error"),
        [
            pytest.param(
                lambda r: r.verify_key(AUTHCONTROLLER, EPOCH.number, now=EXPIRY),
                KeyExpiredError,
                id="expired",
            ),
            pytest.param(
                lambda r: r.verify_key(AUTHCONTROLLER, EPOCH.number + 1, now=NOON),
                UnknownKeyError,
                id="another epoch",
            ),
            pytest.param(
                lambda r: r.verify_key(GATEKEEPER, EPOCH.number, now=NOON),
                UnknownKeyError,
                id="another signer",
            ),
        ],
    )
    def test_other_verify_keys_are_refused(
        self, look_up: Callable[[KeyRing], object], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            look_up(ring())

    def test_only_listed_producers_may_produce(self) -> None:
        assert ring().may_produce(AUTHCONTROLLER, IN)
        assert not ring().may_produce(AUTHCONTROLLER, OUT)
        assert not ring().may_produce(AUTHCONTROLLER, FOREIGN)


def test_the_newest_epoch_is_the_newest_it_can_sign_in() -> None:
    empty = KeyRing.of(GATEKEEPER, signing=[], verify=[], topics=[], permissions=[], producers={})

    assert ring().newest_epoch == EPOCH.number
    assert empty.newest_epoch == -1
