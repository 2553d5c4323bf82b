"""Both ends of a channel can be driven: shapes and counts, never speed."""

from collections import Counter

from benchmarks.channel_load import PAYLOAD_SIZE, Opening, Sealing, drive
from benchmarks.message_bench import MessageCase, open_message_bench
from benchmarks.message_keys import make_rings
from svc_core.crypto.signing import Algorithm
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.signing_mode import SigningMode
from svc_core.flows.secure_channel import SecureChannel
from svc_core.wire import signed_message
from tests.builders import DEMO, NOW, InlineExecutor, make_surroundings, seeded_entropy
from tests.fakes.clock import LoopClock

SMALLEST = Algorithm.ML_DSA_44
RINGS = make_rings(DEMO, SMALLEST, now=NOW, entropy=seeded_entropy())
SLICES = (
    MessageCase.BARE_SIGN,
    MessageCase.BARE_VERIFY,
    MessageCase.SEAL_SINGLE,
    MessageCase.OPEN_SINGLE,
    MessageCase.SEAL_BATCHED,
    MessageCase.OPEN_BATCHED,
    MessageCase.CAPACITY,
)


def sealing(mode: SigningMode) -> Sealing:
    around = make_surroundings(LoopClock(NOW))
    channel = SecureChannel(around, GATEKEEPER, InlineExecutor(), signing=mode)
    channel.adopt(RINGS.producer, version=1)
    return Sealing(channel, bytes(PAYLOAD_SIZE))


async def test_every_case_can_be_measured() -> None:
    async with open_message_bench(SMALLEST, cores=2) as bench:
        for case in SLICES:
            found = await bench.measure(case, 0.002)
            assert found["count"] >= 1
            assert found["wall_s"] >= found["timed_s"] >= 0.002
            assert found["cpu_s"] > 0
        idle = await bench.measure(MessageCase.IDLE, 0.01)
        loaded = await bench.measure(MessageCase.OFFER, 0.01, rate=1000)

    assert all(lag >= 0 for lag in idle["lags_ms"])
    assert len(loaded["latencies_ms"]) == 10
    assert (loaded["refused"], loaded["peak"] >= 1) == (0, True)
    assert loaded.keys() == {"latencies_ms", "refused", "peak", "elapsed_s", "lags_ms"}


async def test_each_submitter_asks_again_until_the_time_is_over() -> None:
    made = 0

    async def request() -> None:
        nonlocal made
        made += 1

    done = await drive(request, seconds=0.002, submitters=3)

    assert done.count == made >= 3
    assert done.wall_s >= 0.002


async def test_most_batches_of_a_pool_are_full() -> None:
    """Which are not depends on when the first of a group comes back."""
    pool = await sealing(SigningMode.BATCHED).pool(1024)

    proofs = [signed_message.decode(raw).batch_proof for raw in pool]
    sizes = Counter(proof.size for proof in proofs if proof is not None)
    assert sizes[64] > len(pool) / 2


async def test_a_pool_is_opened_round_and_round_and_every_round_verifies_anew() -> None:
    pool = await sealing(SigningMode.BATCHED).pool(8)
    taker = SecureChannel(make_surroundings(LoopClock(NOW)), AUTHCONTROLLER, InlineExecutor())
    opening = Opening(taker, RINGS.consumer, pool)

    payloads = [await opening.request() for _ in range(3 * len(pool))]

    assert payloads == [bytes(PAYLOAD_SIZE)] * (3 * len(pool))
    assert taker.version == 3


def test_keys_of_the_next_epoch_are_there_should_it_begin_meanwhile() -> None:
    current = DEMO.keys.current(NOW).number

    assert sorted(RINGS.producer.signing) == [current, current + 1]
    assert {epoch for _, epoch in RINGS.consumer.verify} == {current, current + 1}
