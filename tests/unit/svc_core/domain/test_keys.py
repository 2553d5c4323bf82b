from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest

from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, Subject
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
EXPIRY = EPOCH.start(period=PERIOD) + 4 * PERIOD


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

    def test_an_expired_key_does_not_seal(self) -> None:
        with pytest.raises(UnknownKeyError):
            ring([topic_key(OUT)]).sealing_key(OUT, epoch=EPOCH, now=EXPIRY)


class TestOpening:
    def test_a_key_opens_until_its_validity_is_over(self) -> None:
        key = topic_key(IN)
        last_moment = EXPIRY - timedelta(microseconds=1)

        assert ring([key]).opening_key(IN, key.key_id, now=last_moment) is key

    def test_then_no_longer(self) -> None:
        key = topic_key(IN)

        with pytest.raises(KeyExpiredError, match="expired at"):
            ring([key]).opening_key(IN, key.key_id, now=EXPIRY)

    @pytest.mark.parametrize("topic", [OUT, FOREIGN])
    def test_only_a_consumer_may_open(self, topic: Subject) -> None:
        key = topic_key(topic)

        with pytest.raises(PermissionDeniedError, match="may not consume"):
            ring([key]).opening_key(topic, key.key_id, now=NOON)

    def test_the_key_of_another_topic_does_not_open(self) -> None:
        other = topic_key(OUT)

        with pytest.raises(UnknownKeyError):
            ring([other]).opening_key(IN, other.key_id, now=NOON)


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
