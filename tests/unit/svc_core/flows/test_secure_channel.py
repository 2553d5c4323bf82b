"""Messages arrive whole or are refused, each wrong thing with an error of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace as altered

from svc_core.crypto import contexts
from svc_core.crypto.policy import AcceptedAlgorithms, CryptoPolicy
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, WATCHER
from svc_core.domain.key_usage import KeyUsage
from svc_core.domain.keys import KeyRing, topic_key_id
from svc_core.domain.subjects import AUTH_REQUEST, RESPONDER
from svc_core.errors import (
    AlgorithmMismatchError,
    AlgorithmRefusedError,
    BundleRollbackError,
    FutureMessageError,
    KeyExhaustedError,
    KeyExpiredError,
    KeyNotAvailableError,
    MalformedMessageError,
    OversizedMessageError,
    PermissionDeniedError,
    ProducerNotAllowedError,
    ProfileMismatchError,
    RejectedError,
    StaleMessageError,
    SvcError,
    TopicMismatchError,
    UnknownKeyError,
    VerificationError,
)
from svc_core.flows.secure_channel import SETTLING_TIME, SecureChannel
from svc_core.wire import signed_message
from svc_core.wire.signed_message import SignedMessage
from tests.builders import (
    DEMO,
    NOW,
    InlineExecutor,
    KeyAuthority,
    ManualExecutor,
    covered,
    make_channel,
    make_surroundings,
)
from tests.fakes.clock import LoopClock

KEYS = KeyAuthority()
EPOCH = DEMO.keys.current(NOW)
PERIOD_S = DEMO.keys.period.total_seconds()
SKEW = DEMO.skew


def gatekeeper(ring: KeyRing | None = None) -> SecureChannel:
    """Return a producer of `AUTH_REQUEST`."""
    return make_channel(GATEKEEPER, LoopClock(NOW), ring=ring)


def authcontroller(ring: KeyRing | None = None) -> SecureChannel:
    """Return a consumer of `AUTH_REQUEST`."""
    return make_channel(AUTHCONTROLLER, LoopClock(NOW), ring=ring)


async def sealed(payload: bytes = b"payload", ring: KeyRing | None = None) -> bytes:
    """Return a good message of the gatekeeper."""
    return await gatekeeper(ring).seal(
        AUTH_REQUEST, payload, message_type="authRequest", message_id="run-1-42"
    )


def signed(message: SignedMessage, *, context: bytes = contexts.SIGNED_MESSAGE) -> bytes:
    """Return ``message`` signed anew, as its rightful signer could."""
    key = KEYS.signing_key(GATEKEEPER, Epoch(message.signer_key_id))
    signature = Signer.from_seed(KEYS.algorithm, key.seed).sign(covered(message), context=context)
    return signed_message.encode(altered(message, signature=signature))


async def test_a_message_arrives_whole() -> None:
    opened = await authcontroller().open(await sealed(b"hello"), AUTH_REQUEST)

    assert opened.payload == b"hello"
    assert (opened.signer, opened.message_id) == (GATEKEEPER, "run-1-42")
    assert (opened.message_type, opened.key_epoch) == ("authRequest", EPOCH.number)
    assert opened.sent_at == NOW
    assert opened.valid_until == DEMO.keys.expires(EPOCH) + SKEW


async def test_the_header_says_both_epochs_and_the_algorithm_of_the_key() -> None:
    message = signed_message.decode(await sealed())

    assert message.ca_epoch == DEMO.ca.current(NOW).number
    assert message.signer_key_id == EPOCH.number
    assert message.encrypt_key_id == topic_key_id(AUTH_REQUEST, EPOCH)
    assert message.algorithm == "ML-DSA-44"


@pytest.mark.parametrize("algorithm", Algorithm)
async def test_every_parameter_set_works_in_real_threads(algorithm: Algorithm) -> None:
    keys = KeyAuthority(algorithm=algorithm)
    clock = LoopClock(NOW)
    with ThreadPoolExecutor(2) as workers:
        sender = make_channel(GATEKEEPER, clock, ring=keys.ring(GATEKEEPER), workers=workers)
        taker = make_channel(AUTHCONTROLLER, clock, ring=keys.ring(AUTHCONTROLLER), workers=workers)
        async with sender, taker:
            raw = await sender.seal(AUTH_REQUEST, b"hi", message_type="t", message_id="i")
            assert (await taker.open(raw, AUTH_REQUEST)).payload == b"hi"


async def test_many_messages_at_once_each_find_their_way() -> None:
    sender, taker = gatekeeper(), authcontroller()

    async def echo(number: int) -> bytes:
        raw = await sender.seal(
            AUTH_REQUEST, str(number).encode(), message_type="t", message_id=f"m-{number}"
        )
        return (await taker.open(raw, AUTH_REQUEST)).payload

    async with asyncio.TaskGroup() as tasks:
        echoes = [tasks.create_task(echo(number)) for number in range(200)]

    assert [task.result() for task in echoes] == [str(n).encode() for n in range(200)]


def flipped(raw: bytes) -> bytes:
    """Return ``raw`` with its last bit flipped."""
    return raw[:-1] + bytes([raw[-1] ^ 1])


TAMPERED: dict[str, Callable[[SignedMessage], dict[str, Any]]] = {
    "message id": lambda m: {"message_id": m.message_id + "x"},
    "message id shortened": lambda m: {"message_id": m.message_id[:-1]},
    "message type": lambda m: {"message_type": "authResponse"},
    "id and type swapped": lambda m: {"message_id": m.message_type, "message_type": m.message_id},
    "CA epoch": lambda m: {"ca_epoch": m.ca_epoch + 1},
    "time": lambda m: {"sent_at": m.sent_at + timedelta(microseconds=1)},
    "payload type": lambda m: {"payload_type": "other"},
    "signature": lambda m: {"signature": flipped(m.signature)},
    "signature cut": lambda m: {"signature": m.signature[:-1]},
    "no signature": lambda _: {"signature": b""},
    "ciphertext": lambda m: {"payload": flipped(m.payload)},
    "ciphertext cut": lambda m: {"payload": m.payload[:-1]},
    "no payload": lambda _: {"payload": b""},
    "earlier key epoch": lambda m: {
        "key_epoch": m.key_epoch - 1,
        "signer_key_id": m.key_epoch - 1,
        "encrypt_key_id": topic_key_id(AUTH_REQUEST, Epoch(m.key_epoch - 1)),
    },
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
async def test_a_message_changed_on_its_way_is_refused(
    change: Callable[[SignedMessage], dict[str, Any]],
) -> None:
    message = signed_message.decode(await sealed())
    raw = signed_message.encode(altered(message, **change(message)))

    with pytest.raises(VerificationError):
        await authcontroller().open(raw, AUTH_REQUEST)


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong with a message signed by its rightful signer."""

    changes: dict[str, Any]
    error: type[RejectedError]


IN_A_WEEK = NOW + timedelta(days=7)
OLD = EPOCH.number - 10
WRONG = {
    "made in the future": Wrong(
        {"sent_at": NOW + SKEW + timedelta(microseconds=1)}, FutureMessageError
    ),
    "made before its key": Wrong(
        {"sent_at": DEMO.keys.starts(EPOCH) - SKEW - timedelta(microseconds=1)}, StaleMessageError
    ),
    "algorithm downgraded": Wrong({"algorithm": "ML-DSA-65"}, AlgorithmMismatchError),
    "algorithm unknown": Wrong({"algorithm": "none"}, AlgorithmMismatchError),
    "topic key unknown": Wrong({"encrypt_key_id": "auth.auth-request-epoch-1"}, UnknownKeyError),
    "signing key unknown": Wrong({"key_epoch": OLD, "signer_key_id": OLD}, UnknownKeyError),
    "keys of two epochs": Wrong(
        {"encrypt_key_id": topic_key_id(AUTH_REQUEST, Epoch(EPOCH.number - 1))},
        MalformedMessageError,
    ),
    "signer no producer": Wrong({"signer": AUTHCONTROLLER}, ProducerNotAllowedError),
    "signer no service at all": Wrong({"signer": "mallory"}, ProducerNotAllowedError),
    "another topic": Wrong({"topic": RESPONDER}, TopicMismatchError),
    "payload in the clear": Wrong({"payload": b"clear"}, MalformedMessageError),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_a_message_that_is_wrong_although_signed_is_refused(wrong: Wrong) -> None:
    message = altered(signed_message.decode(await sealed()), **wrong.changes)

    with pytest.raises(wrong.error):
        await authcontroller().open(signed(message), AUTH_REQUEST)


async def test_a_signature_of_another_kind_of_thing_is_refused() -> None:
    message = signed_message.decode(await sealed())
    raw = signed(message, context=contexts.BUNDLE_REQUEST)

    with pytest.raises(VerificationError):
        await authcontroller().open(raw, AUTH_REQUEST)


async def test_an_unsigned_future_is_a_bad_signature_first() -> None:
    message = altered(signed_message.decode(await sealed()), sent_at=IN_A_WEEK)

    with pytest.raises(VerificationError):
        await authcontroller().open(signed_message.encode(message), AUTH_REQUEST)


@pytest.mark.parametrize("ahead", [-SKEW, SKEW], ids=["slow clock", "fast clock"])
async def test_a_clock_within_the_tolerated_skew_does_no_harm(ahead: timedelta) -> None:
    sender = make_channel(GATEKEEPER, LoopClock(NOW + ahead))
    raw = await sender.seal(AUTH_REQUEST, b"hi", message_type="t", message_id="i")

    assert (await authcontroller().open(raw, AUTH_REQUEST)).payload == b"hi"


async def test_a_message_for_one_topic_is_none_for_another() -> None:
    with pytest.raises(TopicMismatchError):
        await authcontroller().open(await sealed(), RESPONDER)


async def test_a_ciphertext_cannot_be_moved_into_another_message() -> None:
    first = signed_message.decode(await sealed())
    second = altered(first, message_id="another")

    with pytest.raises(VerificationError):
        await authcontroller().open(signed(second), AUTH_REQUEST)


async def test_another_service_cannot_sign_in_the_name_of_a_producer() -> None:
    message = signed_message.decode(await sealed())
    key = KEYS.signing_key(WATCHER, EPOCH)
    forged = Signer.from_seed(KEYS.algorithm, key.seed).sign(
        covered(message), context=contexts.SIGNED_MESSAGE
    )

    with pytest.raises(VerificationError):
        await authcontroller().open(
            signed_message.encode(altered(message, signature=forged)), AUTH_REQUEST
        )


@pytest.mark.parametrize("raw", [b"", b"M1", b"garbage", bytes(1000)])
async def test_bytes_that_are_no_message_are_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        await authcontroller().open(raw, AUTH_REQUEST)


async def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(OversizedMessageError):
        await authcontroller().open(bytes(64 * 1024 + 1), AUTH_REQUEST)


async def test_a_payload_that_would_be_too_large_is_not_sealed() -> None:
    with pytest.raises(ValueError, match="limit"):
        await sealed(bytes(64 * 1024))


async def test_a_message_opens_until_its_keys_expire_and_not_after() -> None:
    raw, taker = await sealed(), authcontroller()

    await asyncio.sleep(4 * PERIOD_S - 1)
    await taker.open(raw, AUTH_REQUEST)
    await asyncio.sleep(1)

    with pytest.raises(KeyExpiredError):
        await taker.open(raw, AUTH_REQUEST)


async def test_only_a_producer_may_seal_and_only_a_consumer_may_open() -> None:
    with pytest.raises(PermissionDeniedError):
        await gatekeeper().seal(RESPONDER, b"", message_type="t", message_id="i")
    spy = KEYS.ring(AUTHCONTROLLER)
    spy = replace(
        spy,
        permissions={
            AUTH_REQUEST: replace(spy.permissions[AUTH_REQUEST], consume=False, produce=True)
        },
    )
    with pytest.raises(PermissionDeniedError):
        await authcontroller(spy).open(await sealed(), AUTH_REQUEST)


async def test_the_newest_generation_of_a_rolled_key_seals() -> None:
    raw = await sealed(ring=KEYS.ring(GATEKEEPER, generations=(0, 2, 10)))

    assert signed_message.decode(raw).encrypt_key_id == f"{topic_key_id(AUTH_REQUEST, EPOCH)}.10"


@pytest.mark.parametrize("behind", [1, 2])
async def test_a_ring_without_the_newest_keys_still_seals_with_young_ones(behind: int) -> None:
    ring = KEYS.ring(GATEKEEPER, epochs=[Epoch(EPOCH.number - behind)])

    raw = await sealed(ring=ring)

    assert signed_message.decode(raw).key_epoch == EPOCH.number - behind
    assert (await authcontroller().open(raw, AUTH_REQUEST)).payload == b"payload"


async def test_keys_about_to_die_do_not_seal() -> None:
    with pytest.raises(KeyNotAvailableError):
        await sealed(ring=KEYS.ring(GATEKEEPER, epochs=[Epoch(EPOCH.number - 3)]))


async def test_a_signing_key_that_ended_early_does_not_seal() -> None:
    ring = KEYS.ring(GATEKEEPER, epochs=[EPOCH])
    ended = replace(ring.signing[EPOCH.number], not_after=NOW)

    with pytest.raises(KeyNotAvailableError):
        await sealed(ring=replace(ring, signing={EPOCH.number: ended}))


class Authority:
    """Counts how often newer keys were asked for, and answers as told."""

    def __init__(
        self,
        channel: SecureChannel,
        *,
        ring: KeyRing | None = None,
        failure: SvcError | None = None,
        delay_s: float = 0,
    ) -> None:
        self._channel = channel
        self._ring = ring
        self._failure = failure
        self._delay_s = delay_s
        self.asked = 0
        channel.refresh = self._refresh

    async def _refresh(self) -> None:
        self.asked += 1
        await asyncio.sleep(self._delay_s)
        if self._failure is not None:
            raise self._failure
        if self._ring is not None:
            self._channel.adopt(self._ring, self._channel.version + 1)


STALE_RING = KEYS.ring(AUTHCONTROLLER, epochs=[Epoch(EPOCH.number - 1)])


async def test_an_unknown_key_is_asked_for_and_the_message_opens() -> None:
    taker = authcontroller(STALE_RING)
    authority = Authority(taker, ring=KEYS.ring(AUTHCONTROLLER))

    assert (await taker.open(await sealed(), AUTH_REQUEST)).payload == b"payload"
    assert authority.asked == 1
    assert taker.version == 2


async def test_many_messages_with_an_unknown_key_ask_once() -> None:
    taker, raw = authcontroller(STALE_RING), await sealed()
    authority = Authority(taker, ring=KEYS.ring(AUTHCONTROLLER), delay_s=0.5)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(taker.open(raw, AUTH_REQUEST))

    assert authority.asked == 1


async def test_a_young_message_is_retried_while_its_key_may_still_arrive() -> None:
    taker, raw = authcontroller(STALE_RING), await sealed()
    Authority(taker)

    with pytest.raises(KeyNotAvailableError):
        await taker.open(raw, AUTH_REQUEST)


async def test_an_older_message_with_an_unknown_key_is_refused_for_good() -> None:
    taker, raw = authcontroller(STALE_RING), await sealed()
    Authority(taker)
    await asyncio.sleep(SETTLING_TIME.total_seconds())

    with pytest.raises(UnknownKeyError):
        await taker.open(raw, AUTH_REQUEST)


async def test_unknown_keys_do_not_make_anybody_ask_more_than_once_a_second() -> None:
    taker, raw = authcontroller(STALE_RING), await sealed()
    authority = Authority(taker)
    await asyncio.sleep(SETTLING_TIME.total_seconds())

    for _ in range(30):
        with pytest.raises(UnknownKeyError):
            await taker.open(raw, AUTH_REQUEST)
        await asyncio.sleep(0.1)

    assert authority.asked == 3


async def test_a_forged_future_does_not_keep_a_message_being_retried() -> None:
    taker = authcontroller(STALE_RING)
    Authority(taker)
    message = altered(signed_message.decode(await sealed()), sent_at=IN_A_WEEK)

    with pytest.raises(UnknownKeyError):
        await taker.open(signed_message.encode(message), AUTH_REQUEST)


async def test_a_producer_that_was_just_allowed_is_asked_about_before_it_is_refused() -> None:
    ring = KEYS.ring(AUTHCONTROLLER)
    taker = authcontroller(replace(ring, producers={AUTH_REQUEST: frozenset()}))
    Authority(taker, ring=ring)

    assert (await taker.open(await sealed(), AUTH_REQUEST)).payload == b"payload"


@pytest.mark.parametrize(
    "failure",
    [KeyNotAvailableError("away"), BundleRollbackError("older")],
    ids=["authority away", "bundle refused"],
)
async def test_keys_that_cannot_be_had_now_never_cost_a_message(failure: SvcError) -> None:
    taker, raw = authcontroller(STALE_RING), await sealed()
    authority = Authority(taker, failure=failure)
    await asyncio.sleep(SETTLING_TIME.total_seconds())

    for _ in range(2):
        with pytest.raises(KeyNotAvailableError):
            await taker.open(raw, AUTH_REQUEST)
    assert authority.asked == 1


async def test_an_authority_that_hangs_costs_a_bounded_time() -> None:
    clock = LoopClock(NOW)
    taker, raw = authcontroller(STALE_RING), await sealed()
    Authority(taker, delay_s=3600)

    with pytest.raises(KeyNotAvailableError):
        await taker.open(raw, AUTH_REQUEST)
    assert clock.now() - NOW == timedelta(seconds=5)


async def test_an_error_that_ends_the_process_is_not_swallowed() -> None:
    taker, raw = authcontroller(STALE_RING), await sealed()
    Authority(taker, failure=ProfileMismatchError(configured="demo", announced="testing"))

    with pytest.raises(ProfileMismatchError):
        await taker.open(raw, AUTH_REQUEST)


async def test_a_channel_without_keys_asks_for_them_first() -> None:
    clock = LoopClock(NOW)
    bare = SecureChannel(make_surroundings(clock), GATEKEEPER, InlineExecutor())
    with pytest.raises(KeyNotAvailableError):
        await bare.seal(AUTH_REQUEST, b"", message_type="t", message_id="i")
    Authority(bare, ring=KEYS.ring(GATEKEEPER))

    raw = await bare.seal(AUTH_REQUEST, b"hi", message_type="t", message_id="i")

    assert (await authcontroller().open(raw, AUTH_REQUEST)).payload == b"hi"
    assert bare.ring.service == GATEKEEPER


async def test_keys_adopted_while_messages_are_at_work_do_not_disturb_them() -> None:
    workers = ManualExecutor()
    taker = make_channel(AUTHCONTROLLER, LoopClock(NOW), workers=workers)
    raw = await sealed()

    async with asyncio.TaskGroup() as tasks:
        opening = tasks.create_task(taker.open(raw, AUTH_REQUEST))
        await asyncio.sleep(1)
        taker.adopt(STALE_RING, version=2)
        workers.run_next()

    assert opening.result().payload == b"payload"


async def test_ten_simulated_minutes_of_key_rotation_lose_nothing() -> None:
    clock = LoopClock(NOW)
    sender, taker = make_channel(GATEKEEPER, clock), make_channel(AUTHCONTROLLER, clock)
    epochs = set()
    for second in range(600):
        if second % PERIOD_S == PERIOD_S - DEMO.keys.lead.total_seconds():
            sender.adopt(KEYS.ring(GATEKEEPER, now=clock.now()), second)
            taker.adopt(KEYS.ring(AUTHCONTROLLER, now=clock.now()), second)
        raw = await sender.seal(AUTH_REQUEST, b"hi", message_type="t", message_id=str(second))
        epochs.add((await taker.open(raw, AUTH_REQUEST)).key_epoch)
        await asyncio.sleep(1)

    assert len(epochs) == 30


async def test_a_key_that_has_sealed_enough_seals_no_more() -> None:
    clock, workers = LoopClock(NOW), InlineExecutor()
    around = make_surroundings(clock)
    channel = SecureChannel(around, GATEKEEPER, workers, usage=KeyUsage(limit=1))
    channel.adopt(KEYS.ring(GATEKEEPER), 1)

    await channel.seal(AUTH_REQUEST, b"x", message_type="t", message_id="1")
    with pytest.raises(KeyExhaustedError):
        await channel.seal(AUTH_REQUEST, b"x", message_type="t", message_id="2")


async def test_keys_whose_validity_is_over_are_let_go_of_without_a_newer_bundle() -> None:
    clock = LoopClock(NOW)
    channel = make_channel(AUTHCONTROLLER, clock)
    held = len(channel.ring.topics)

    await asyncio.sleep(PERIOD_S)
    channel.prune()
    assert len(channel.ring.topics) == held
    await asyncio.sleep(SKEW.total_seconds())
    channel.prune()

    assert len(channel.ring.topics) == held - 2


async def test_an_algorithm_is_accepted_beside_another_or_refused_by_setting() -> None:
    """A fleet migrates with two accepted at once, and ends with one."""
    keys = KeyAuthority(algorithm=Algorithm.ML_DSA_65)
    clock = LoopClock(NOW)
    sender = make_channel(GATEKEEPER, clock, ring=keys.ring(GATEKEEPER))
    raw = await sender.seal(AUTH_REQUEST, b"x", message_type="t", message_id="i")

    both = AcceptedAlgorithms.of(Algorithm.ML_DSA_44, Algorithm.ML_DSA_65)
    assert (await accepting(both, keys, clock).open(raw, AUTH_REQUEST)).payload == b"x"
    one = AcceptedAlgorithms.of(Algorithm.ML_DSA_44)
    with pytest.raises(AlgorithmRefusedError):
        await accepting(one, keys, clock).open(raw, AUTH_REQUEST)


def accepting(
    algorithms: AcceptedAlgorithms[Algorithm], keys: KeyAuthority, clock: LoopClock
) -> SecureChannel:
    """Return a consumer of `AUTH_REQUEST` that accepts signatures of ``algorithms``."""
    suite = CryptoSuite.of(CryptoPolicy(messages=algorithms))
    around = replace(make_surroundings(clock), crypto=suite)
    channel = SecureChannel(around, AUTHCONTROLLER, InlineExecutor())
    channel.adopt(keys.ring(AUTHCONTROLLER), 1)
    return channel
