"""Answers find who waits, nobody waits for ever, and acknowledgements are read or refused."""

import asyncio
import gc
from typing import cast

import pytest
import uvloop
from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.aio.msg import Msg

from svc_core.adapters.nats_answers import Answers, decode_ack
from svc_core.errors import AccessDeniedError, AnswerLostError, BusError, StreamFullError


def message(subject: str = "", data: bytes = b"") -> Msg:
    return Msg(cast(Client, None), subject=subject, data=data)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_an_answer_finds_who_waits_for_it_and_others_wait_on() -> None:
    answers = Answers()
    first = answers.expect("r.1", "s", timeout_s=1)
    second = answers.expect("r.2", "s", timeout_s=1)
    sent = message("r.2")

    await answers.receive(sent)
    await answers.receive(message("r.2"))
    await answers.receive(message("r.3"))

    assert second.result() is sent
    assert not first.done()


async def test_each_waits_as_long_as_it_said_in_whatever_order_they_came() -> None:
    answers, ends = Answers(), dict[str, float]()

    async def wait(reply: str, timeout_s: float) -> None:
        with pytest.raises(AnswerLostError, match="no answer on s"):
            await answers.expect(reply, "s", timeout_s=timeout_s)
        answers.forget(reply)
        ends[reply] = now()

    async with asyncio.TaskGroup() as group:
        for reply, timeout_s in (("a", 3), ("b", 1), ("c", 2), ("d", 2)):
            group.create_task(wait(reply, timeout_s))

    assert ends == pytest.approx({"a": 3, "b": 1, "c": 2, "d": 2})


async def test_an_answered_one_leaves_nothing_behind_once_its_time_is_over() -> None:
    answers = Answers()
    for number in range(100):
        answers.expect(f"r.{number}", "s", timeout_s=1)
        await answers.receive(message(f"r.{number}"))
        answers.forget(f"r.{number}")

    await asyncio.sleep(2)

    assert (answers._waiting, answers._due, answers._timer) == ({}, [], None)


async def test_all_or_those_of_one_subject_hear_that_no_answer_will_come() -> None:
    answers = Answers()
    upper = answers.expect("r.1", "A.Topic", timeout_s=9)
    other = answers.expect("r.2", "b", timeout_s=9)

    answers.fail(lambda: AccessDeniedError("no"), subject="a.topic")
    assert (upper.done(), other.done()) == (True, False)
    answers.fail(lambda: AnswerLostError("gone"))

    with pytest.raises(AccessDeniedError):
        await upper
    with pytest.raises(AnswerLostError):
        await other


async def test_settling_ends_with_the_last_answer_or_with_patience() -> None:
    answers = Answers()
    await answers.settle(within_s=1)
    assert now() == 0
    answers.expect("r.1", "s", timeout_s=9)

    await answers.settle(within_s=1)
    assert now() == pytest.approx(1)

    asyncio.get_running_loop().call_later(0.5, lambda: answers.fail(lambda: BusError("gone")))
    await answers.settle(within_s=5)
    assert now() == pytest.approx(1.5)
    answers.forget("r.1")


async def test_nobody_hears_of_an_error_that_came_when_nobody_waited_any_more() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: complaints.append(what))
    answers = Answers()
    answers.expect("r.1", "s", timeout_s=1)
    answers.fail(lambda: BusError("gone"))

    answers.forget("r.1")
    gc.collect()

    assert complaints == []


async def test_a_closed_link_leaves_no_timer() -> None:
    answers = Answers()
    answers.expect("r.1", "s", timeout_s=1)

    answers.close()

    assert answers._timer is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"stream":"S","seq":7}', (7, False)),
        (b'{"stream":"S","seq":7,"duplicate":true,"domain":"hub"}', (7, True)),
    ],
)
def test_an_acknowledgement_says_where_and_whether_it_was_there(
    raw: bytes, expected: tuple[int, bool]
) -> None:
    assert decode_ack(message(data=raw)) == expected


@pytest.mark.parametrize(
    ("description", "code", "is_full"),
    [
        ("maximum bytes exceeded", 10077, True),
        ("maximum messages exceeded", 10077, True),
        ("no space left", 10077, False),
        ("maximum bytes exceeded", 10008, False),
    ],
)
def test_a_refusal_says_whether_the_stream_is_full(
    description: str, code: int, *, is_full: bool
) -> None:
    raw = f'{{"error":{{"code":503,"err_code":{code},"description":"{description}"}}}}'

    with pytest.raises(BusError, match=description) as refusal:
        decode_ack(message(data=raw.encode()))

    assert isinstance(refusal.value, StreamFullError) is is_full


@given(st.binary() | st.text().map(str.encode))
@example(b"{}")
@example(b"[]")
@example(b'{"seq":"1"}')
@example(b'{"seq":null}')
@example(b'{"error":{}}')
@example(b'{"error":1}')
def test_anything_else_is_one_error(raw: bytes) -> None:
    with pytest.raises(BusError):
        decode_ack(message(data=raw))


def test_a_wait_that_is_over_at_once_does_not_spoil_the_next_one() -> None:
    async def ask_twice() -> list[str]:
        answers = Answers()
        waits = [answers.expect(str(number), "subject", timeout_s=0) for number in range(2)]
        outcomes = []
        for number, wait in enumerate(waits):
            with pytest.raises(AnswerLostError) as lost:
                await wait
            outcomes.append(lost.value.code)
            answers.forget(str(number))
        answers.close()
        return outcomes

    # The services' own loop makes another kind of timer of what is due at once.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask_twice()) == 2 * [AnswerLostError.code]
