"""Publishing through every loss: nothing lost, nothing doubled, in order where asked, bounded."""

import asyncio
from datetime import timedelta

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.adapters.nats_publishing import Publisher
from svc_core.domain.subjects import DUPLICATE_WINDOW
from svc_core.errors import (
    AccessDeniedError,
    AnswerLostError,
    BusError,
    OrderBrokenError,
    OverloadedError,
    StreamFullError,
    SvcError,
    UnacknowledgedError,
)
from tests.unit.svc_core.adapters.scripted_broker import (
    LATE_S,
    RESTORED_S,
    TRIP_S,
    Fate,
    ScriptedBroker,
    make_settings,
)

TRANSIENT = [f for f in Fate if f not in {Fate.FULL, Fate.FORBIDDEN}]
FOR_GOOD = {Fate.FULL: StreamFullError, Fate.FORBIDDEN: AccessDeniedError}
LOST_FOR_A_WHILE = [Fate.SILENT] * 60


def make_publisher(broker: ScriptedBroker, **changes: object) -> Publisher:
    return Publisher(make_settings(**changes), broker)


async def publish(publisher: Publisher, message_id: str, *, key: str = "") -> bool:
    return await publisher.publish("t", b"", message_id=message_id, ordering_key=key)


async def outcome(publisher: Publisher, message_id: str, *, key: str = "") -> bool | SvcError:
    try:
        return await publish(publisher, message_id, key=key)
    except SvcError as err:
        return err


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("fate", TRANSIENT)
async def test_whatever_becomes_of_an_attempt_the_message_is_stored_once(fate: Fate) -> None:
    broker = ScriptedBroker.of([fate])
    publisher = make_publisher(broker)

    await publish(publisher, "a")
    await asyncio.sleep(LATE_S)

    assert broker.stored == ["a"]
    assert publisher.counts.repeated == len(broker.attempts) - 1 == (fate is not Fate.STORED)


@pytest.mark.parametrize("fate", FOR_GOOD)
async def test_what_waiting_would_not_help_is_said_at_once(fate: Fate) -> None:
    broker = ScriptedBroker.of([fate])

    with pytest.raises(FOR_GOOD[fate]):
        await publish(make_publisher(broker), "a")

    assert broker.attempts == ["a"]
    assert now() <= TRIP_S


async def test_who_publishes_hears_whether_the_broker_had_it_already() -> None:
    publisher = make_publisher(ScriptedBroker())

    assert await publish(publisher, "a")
    assert not await publish(publisher, "a")


@pytest.mark.parametrize("fate", [Fate.GONE, Fate.CUT, Fate.CUT_AFTER])
async def test_a_lost_link_costs_no_more_than_the_next_one(fate: Fate) -> None:
    await publish(make_publisher(ScriptedBroker.of([fate])), "a")

    assert now() <= RESTORED_S + 2 * TRIP_S


async def test_links_that_die_at_once_are_not_tried_without_a_pause() -> None:
    broker = ScriptedBroker.of([Fate.CUT] * 1000)

    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(9):
                await publish(make_publisher(broker), "a")

    assert len(broker.attempts) < 15


async def test_an_answer_still_comes_over_a_link_that_was_swapped() -> None:
    broker = ScriptedBroker()
    publisher = make_publisher(broker)

    async with asyncio.TaskGroup() as group:
        group.create_task(publish(publisher, "a"))
        await asyncio.sleep(TRIP_S / 2)
        broker.swap()

    assert broker.attempts == ["a"]


# --- the window ----------------------------------------------------------------------------------


async def test_so_many_are_in_flight_and_the_others_wait() -> None:
    broker = ScriptedBroker()
    publisher = make_publisher(broker, publish_window=4)

    async with asyncio.TaskGroup() as group:
        for n in range(10):
            group.create_task(publish(publisher, str(n)))
        await asyncio.sleep(TRIP_S / 2)
        during = (publisher.counts.in_flight, publisher.counts.waiting)

    assert (during, broker.most_at_once) == ((4, 6), 4)
    assert set(broker.stored) == {str(n) for n in range(10)}
    after = publisher.counts
    assert (after.in_flight, after.waiting, after.waited, after.repeated) == (0, 0, 6, 0)


async def test_one_more_than_may_wait_is_refused_at_once_and_not_sent() -> None:
    broker = ScriptedBroker()
    publisher = make_publisher(broker, publish_window=1, publish_waiting=2)

    async with asyncio.TaskGroup() as group:
        fitting = [group.create_task(publish(publisher, str(n))) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await publish(publisher, "too much")

    assert all(task.result() for task in fitting)
    assert broker.stored == ["0", "1", "2"]
    assert await publish(publisher, "now there is room")


async def test_who_finds_no_room_within_the_deadline_was_never_sent() -> None:
    broker = ScriptedBroker.of(LOST_FOR_A_WHILE)
    publisher = make_publisher(broker, publish_window=1, publish_deadline=timedelta(seconds=5))

    async with asyncio.TaskGroup() as group:
        first = group.create_task(outcome(publisher, "first"))
        await asyncio.sleep(0)
        second = group.create_task(outcome(publisher, "second"))

    assert isinstance(first.result(), UnacknowledgedError)
    assert isinstance(second.result(), OverloadedError)
    assert set(broker.attempts) == {"first"}
    assert (publisher.counts.in_flight, publisher.counts.waiting) == (0, 0)


async def test_a_cancelled_publish_gives_its_room_back() -> None:
    broker = ScriptedBroker.of([Fate.SILENT])
    publisher = make_publisher(broker, publish_window=1)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await publish(publisher, "a")

    assert await publish(publisher, "b")
    assert (publisher.counts.in_flight, publisher.counts.waiting) == (0, 0)


# --- the deadline --------------------------------------------------------------------------------


async def test_the_deadline_of_what_was_never_sent_says_so() -> None:
    broker = ScriptedBroker(is_away=True)
    publisher = make_publisher(broker, publish_deadline=timedelta(seconds=5))

    found = await outcome(publisher, "a")

    assert isinstance(found, BusError)
    assert not isinstance(found, AnswerLostError)
    assert now() == pytest.approx(5)


@pytest.mark.parametrize(
    ("fates", "is_in_doubt"),
    [
        pytest.param([Fate.NOBODY] * 99, False, id="no stream"),
        pytest.param([Fate.REFUSED] * 99, False, id="refused"),
        pytest.param([Fate.GONE] * 99, False, id="never left"),
        pytest.param(LOST_FOR_A_WHILE, True, id="silence"),
        pytest.param([Fate.SILENT, *[Fate.REFUSED] * 99], True, id="silence, then refusals"),
        pytest.param([Fate.CUT] * 99, True, id="cuts"),
    ],
)
async def test_the_deadline_says_whether_the_message_may_be_stored(
    fates: list[Fate], is_in_doubt: bool
) -> None:
    publisher = make_publisher(ScriptedBroker.of(fates), publish_deadline=timedelta(seconds=20))

    found = await outcome(publisher, "a")

    assert isinstance(found, BusError)
    assert isinstance(found, UnacknowledgedError) is is_in_doubt


async def test_by_default_it_is_repeated_almost_as_long_as_the_stream_knows_the_id() -> None:
    broker = ScriptedBroker.of([Fate.SILENT] * 999)

    found = await outcome(make_publisher(broker), "a")

    assert isinstance(found, UnacknowledgedError)
    assert DUPLICATE_WINDOW / 2 < timedelta(seconds=now()) < DUPLICATE_WINDOW


# --- order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fate", TRANSIENT)
async def test_messages_of_one_key_are_stored_as_they_were_called_whatever_happens(
    fate: Fate,
) -> None:
    ids = [str(n) for n in range(6)]
    broker = ScriptedBroker.of([Fate.STORED, fate, Fate.STORED, fate])
    publisher = make_publisher(broker)

    async with asyncio.TaskGroup() as group:
        for message_id in ids:
            group.create_task(publish(publisher, message_id, key="k"))
    await asyncio.sleep(LATE_S)

    assert broker.stored == ids


async def test_keys_do_not_wait_for_each_other() -> None:
    broker = ScriptedBroker.of([Fate.SILENT])
    publisher = make_publisher(broker)

    async with asyncio.TaskGroup() as group:
        group.create_task(publish(publisher, "stuck", key="k"))
        await asyncio.sleep(0)
        await publish(publisher, "other", key="l")
        await publish(publisher, "none")

    assert broker.stored == ["other", "none", "stuck"]


async def test_what_waits_for_its_turn_takes_no_room() -> None:
    broker = ScriptedBroker.of([Fate.SILENT])
    publisher = make_publisher(broker, publish_window=2)

    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(publish(publisher, f"stuck {n}", key="k"))
        await asyncio.sleep(0.1)
        await publish(publisher, "free")
        assert now() < 0.2

    assert publisher.counts.waited == 4


async def test_behind_a_message_that_was_given_up_nothing_is_sent() -> None:
    broker = ScriptedBroker.of([Fate.LATE, *[Fate.SILENT] * 9])
    publisher = make_publisher(broker, publish_deadline=timedelta(seconds=5))

    async with asyncio.TaskGroup() as group:
        first = group.create_task(outcome(publisher, "first", key="k"))
        await asyncio.sleep(1)
        others = [group.create_task(outcome(publisher, f"{n}", key="k")) for n in range(3)]

    assert isinstance(first.result(), UnacknowledgedError)
    assert all(isinstance(task.result(), OrderBrokenError) for task in others)
    assert set(broker.attempts) == {"first"}

    broker.fates.clear()
    await publish(publisher, "first", key="k")
    await publish(publisher, "second", key="k")
    await asyncio.sleep(LATE_S)
    assert broker.stored == ["first", "second"]


async def test_behind_a_message_that_was_cancelled_on_its_way_nothing_is_sent() -> None:
    broker = ScriptedBroker.of([Fate.LATE])
    publisher = make_publisher(broker)

    async with asyncio.TaskGroup() as group:
        first = group.create_task(publish(publisher, "first", key="k"))
        await asyncio.sleep(0)
        second = group.create_task(outcome(publisher, "second", key="k"))
        await asyncio.sleep(0.1)
        first.cancel()

    assert isinstance(second.result(), OrderBrokenError)
    assert broker.attempts == ["first"]


async def test_a_message_that_was_refused_does_not_hold_up_the_next_of_its_key() -> None:
    broker = ScriptedBroker.of([Fate.FULL])
    publisher = make_publisher(broker)

    async with asyncio.TaskGroup() as group:
        first = group.create_task(outcome(publisher, "first", key="k"))
        await asyncio.sleep(0)
        second = group.create_task(outcome(publisher, "second", key="k"))

    assert isinstance(first.result(), StreamFullError)
    assert second.result() is True
    assert publisher._lanes == {}


async def test_one_that_gives_up_waiting_lets_nobody_past_the_one_in_flight() -> None:
    broker = ScriptedBroker.of([Fate.SILENT, Fate.SILENT])
    publisher = make_publisher(broker)

    async with asyncio.TaskGroup() as group:
        group.create_task(publish(publisher, "first", key="k"))
        await asyncio.sleep(0)
        impatient = group.create_task(publish(publisher, "impatient", key="k"))
        await asyncio.sleep(0)
        group.create_task(publish(publisher, "last", key="k"))
        await asyncio.sleep(0.5)
        impatient.cancel()

    assert broker.stored == ["first", "last"]


# --- anything at once ----------------------------------------------------------------------------


@given(
    fates=st.lists(st.sampled_from(TRANSIENT), max_size=40),
    keys=st.lists(st.sampled_from(["", "k", "l"]), min_size=1, max_size=12),
    window=st.integers(1, 4),
    swaps=st.lists(st.floats(0, 5), max_size=3),
)
def test_in_any_disorder_everything_is_stored_once_and_every_key_in_order(
    fates: list[Fate], keys: list[str], window: int, swaps: list[float]
) -> None:
    broker = ScriptedBroker.of(fates)

    async def run() -> None:
        publisher = make_publisher(broker, publish_window=window)
        async with asyncio.TaskGroup() as group:
            for at in swaps:
                asyncio.get_running_loop().call_later(at, broker.swap)
            for n, key in enumerate(keys):
                group.create_task(publish(publisher, f"{n}", key=key))
        await asyncio.sleep(2 * LATE_S)
        assert (publisher.counts.in_flight, publisher.counts.waiting) == (0, 0)

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(run())

    assert sorted(broker.stored, key=int) == [f"{n}" for n in range(len(keys))]
    for key in ("k", "l"):
        expected = [f"{n}" for n, own in enumerate(keys) if own == key]
        assert [m for m in broker.stored if m in expected] == expected
    assert broker.most_at_once <= window
