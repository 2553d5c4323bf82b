"""What queues shares a signature, each message proves itself alone, each batch is checked once."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from svc_core.crypto import contexts
from svc_core.domain.batch_proof import BATCH_LIMIT
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.signing_mode import SigningMode
from svc_core.domain.subjects import AUTH_REQUEST
from svc_core.errors import VerificationError
from svc_core.flows.message_crypto import claim_of
from svc_core.flows.secure_channel import SecureChannel
from svc_core.wire import signed_message
from tests.batches import batch_of
from tests.builders import NOW, KeyAuthority, ManualExecutor, make_channel
from tests.fakes.clock import LoopClock

KEYS = KeyAuthority()


class CountingExecutor(ManualExecutor):
    """Runs everything at once and counts how often it was asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it now."""
        self.asked += 1
        submitted: Future[Any] = super().submit(*args, **kwargs)
        self.run_next()
        return submitted


def taker(executor: ManualExecutor | None = None) -> SecureChannel:
    return make_channel(AUTHCONTROLLER, LoopClock(NOW), workers=executor)


async def turn() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_queues_while_a_signature_is_made_shares_the_next() -> None:
    executor = ManualExecutor()
    sender = make_channel(GATEKEEPER, LoopClock(NOW), workers=executor, signing=SigningMode.BATCHED)
    async with sender, asyncio.TaskGroup() as group:
        sealing = []
        for number in range(8):
            message_id = f"m-{number}"
            sealed = sender.seal(AUTH_REQUEST, b"x", message_type="t", message_id=message_id)
            sealing.append(group.create_task(sealed))
            if number == 0:
                await turn()
        await turn()
        executor.run_next()
        await turn()
        executor.run_next()

    messages = [signed_message.decode(task.result()) for task in sealing]
    assert messages[0].batch_proof is None
    proofs = [message.batch_proof for message in messages[1:]]
    assert [(p.size, p.index) for p in proofs if p] == [(7, index) for index in range(7)]
    assert len({message.signature for message in messages[1:]}) == 1


async def test_a_batch_has_at_most_64_messages() -> None:
    with ThreadPoolExecutor(1) as workers:
        raws = await batch_of(150, workers=workers)

    sizes = {p.size for raw in raws if (p := signed_message.decode(raw).batch_proof)}
    assert max(sizes) <= BATCH_LIMIT


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "backwards"])
async def test_each_message_of_a_batch_arrives_whole_in_any_order(order: int) -> None:
    raws = await batch_of(20)

    async with taker() as channel:
        opened = [await channel.open(raw, AUTH_REQUEST) for raw in raws[::order]]

    assert [o.message_id for o in opened][::order] == [f"m-{number}" for number in range(20)]


async def test_each_message_of_a_batch_proves_itself_alone() -> None:
    for raw in (await batch_of(9))[1:]:
        async with taker() as channel:
            assert (await channel.open(raw, AUTH_REQUEST)).payload


async def test_a_batch_is_verified_once() -> None:
    executor = CountingExecutor()
    async with taker(executor) as channel:
        for raw in (await batch_of(30))[1:]:
            await channel.open(raw, AUTH_REQUEST)

    assert executor.asked == 1


async def test_messages_that_come_together_wait_for_one_verification() -> None:
    executor = ManualExecutor()
    raws = (await batch_of(10))[1:]
    async with taker(executor) as channel, asyncio.TaskGroup() as group:
        opening = [group.create_task(channel.open(raw, AUTH_REQUEST)) for raw in raws]
        await turn()
        executor.run_next()

    assert all(task.result().payload for task in opening)


async def test_who_began_may_be_cancelled_and_the_others_are_served() -> None:
    executor = ManualExecutor()
    raws = (await batch_of(4))[1:]
    async with taker(executor) as channel, asyncio.TaskGroup() as group:
        first, *others = [group.create_task(channel.open(raw, AUTH_REQUEST)) for raw in raws]
        await turn()
        first.cancel()
        await turn()
        executor.run_next()
        await turn()
        executor.run_next()

    assert first.cancelled()
    assert [task.result().message_id for task in others] == ["m-2", "m-3"]


async def test_a_bad_batch_is_bad_for_all_that_wait_and_is_not_remembered() -> None:
    executor = CountingExecutor()
    raws = [forged(raw) for raw in (await batch_of(5))[1:]]

    async with taker(executor) as channel:
        for raw in raws:
            with pytest.raises(VerificationError):
                await channel.open(raw, AUTH_REQUEST)

    assert executor.asked == len(raws)


async def test_a_bad_batch_ends_every_wait() -> None:
    executor = ManualExecutor()
    raws = [forged(raw) for raw in (await batch_of(5))[1:]]
    async with taker(executor) as channel, asyncio.TaskGroup() as group:
        opening = [group.create_task(refusal(channel, raw)) for raw in raws]
        await turn()
        executor.run_next()

    assert [task.result() for task in opening] == [VerificationError] * 4


async def refusal(channel: SecureChannel, raw: bytes) -> type[Exception]:
    try:
        await channel.open(raw, AUTH_REQUEST)
    except VerificationError as err:
        return type(err)
    raise AssertionError("the message was taken")


def forged(raw: bytes) -> bytes:
    """Return ``raw`` with one bit of its batch's signature flipped."""
    at = raw.index(signed_message.decode(raw).signature) + 5
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


async def test_new_keys_clear_what_was_verified_under_the_old() -> None:
    executor = CountingExecutor()
    raws = (await batch_of(4))[1:]
    async with taker(executor) as channel:
        await channel.open(raws[0], AUTH_REQUEST)
        channel.adopt(KEYS.ring(AUTHCONTROLLER), 2)
        await channel.open(raws[1], AUTH_REQUEST)

    assert executor.asked == 2


async def test_a_sibling_path_says_nothing_of_a_message() -> None:
    """Who guesses a message exactly still cannot find its hash in another's proof."""
    raws = (await batch_of(2 + 1))[1:]
    first, second = (signed_message.decode(raw) for raw in raws)
    assert first.batch_proof is not None
    assert second.batch_proof is not None

    assert first.batch_proof.blind != second.batch_proof.blind
    assert second.payload not in first.batch_proof.path
    assert claims([first, second]) == 1


def claims(messages: Sequence[signed_message.SignedMessage]) -> int:
    found = {claim_of(m, signed_message.header_aad(m)) for m in messages}
    assert {claim.context for claim in found} == {contexts.BATCH_ROOT}
    return len(found)
