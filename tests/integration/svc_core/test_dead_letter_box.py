"""Dead letters on real servers: what the operator sees of them, sends again, and removes."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from console.dead_letters import replay_one
from services.metadata.adapters.jetstream import JetStreamDeclaration
from svc_core.adapters.dead_letter_box import DeadLetterBox, StoredLetter
from svc_core.adapters.nats_connection import NatsConnection
from svc_core.adapters.system_clock import SystemClock
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    GATEKEEPER,
    METADATA,
    OPERATOR,
    InstanceName,
)
from svc_core.domain.replays import Replay, ReplayMark
from svc_core.domain.subjects import (
    AUTH_DURABLE,
    AUTH_REQUEST,
    AUTH_STREAM,
    DEAD_LETTER_STREAM,
    STATUS_STREAM,
    STREAMS,
    dead_letters,
)
from svc_core.errors import MalformedMessageError, StreamFullError
from svc_core.flows.refusals import Refusals, Refuser
from svc_core.ports.bus import Binding, Bus, Delivery
from svc_core.runtime.traffic_metrics import TrafficMetrics
from tests.fakes.memory_journal import MemoryJournal
from tests.integration.bare_stack import RunningCluster
from tests.integration.connections import connected

RUN = f"letters{os.getpid()}"
_numbers = iter(range(1 << 30))
(SPEC,) = [spec for spec in STREAMS if spec.name == DEAD_LETTER_STREAM]


def new_payload() -> bytes:
    return f"{RUN}-{next(_numbers)}".encode()


def refusals_of(bus: Bus) -> Refusals:
    refuser = Refuser(AUTHCONTROLLER, InstanceName("authcontroller-7"))
    metrics = TrafficMetrics(CollectorRegistry())
    return Refusals(refuser, AUTH_STREAM, bus, MemoryJournal(), SystemClock(), metrics)


@asynccontextmanager
async def answering(bus: NatsConnection, seen: asyncio.Queue[Delivery]) -> AsyncIterator[None]:
    """Refuse everything that comes, as AuthController does it."""

    async def refuse(delivery: Delivery) -> None:
        seen.put_nowait(delivery)
        raise MalformedMessageError("no message")

    async with asyncio.TaskGroup() as group:
        binding = Binding(AUTH_STREAM, AUTH_DURABLE)
        consumer = group.create_task(bus.consume(binding, refuse, refusals_of(bus)))
        try:
            yield
        finally:
            consumer.cancel()


async def stored_letter(box: DeadLetterBox, payload: bytes, *, after: int = 0) -> StoredLetter:
    """Wait for a letter about ``payload`` that is newer than number ``after``, and return it."""
    async with asyncio.timeout(5):
        while True:
            found = [
                stored
                for stored in (await box.fetch_all()).letters
                if stored.letter and stored.letter.payload == payload and stored.id > after
            ]
            if found:
                return found[-1]
            await asyncio.sleep(0.05)


async def refused(cluster: RunningCluster, payload: bytes, box: DeadLetterBox) -> StoredLetter:
    async with (
        connected(cluster, GATEKEEPER) as gatekeeper,
        connected(cluster, AUTHCONTROLLER) as authcontroller,
        answering(authcontroller, asyncio.Queue()),
    ):
        await gatekeeper.publish(AUTH_REQUEST, payload, message_id=payload.decode())
        return await stored_letter(box, payload)


async def marks_of(box: DeadLetterBox) -> list[ReplayMark]:
    return [mark for _, mark in (await box.fetch_all()).marks]


async def noted(box: DeadLetterBox, letter: int, count: int) -> list[ReplayMark]:
    """Return the notes about one letter, once there are so many."""
    async with asyncio.timeout(5):
        while len(own := [m for m in await marks_of(box) if m.letter == letter]) < count:
            await asyncio.sleep(0.05)
    return own


async def test_a_letter_says_what_was_refused_why_when_and_by_whom(
    declared: RunningCluster,
) -> None:
    payload, before = new_payload(), datetime.now(UTC)
    async with connected(declared, OPERATOR) as operator:
        stored = await refused(declared, payload, DeadLetterBox(operator))

    letter = stored.letter
    assert letter is not None
    assert (stored.service, letter.code) == ("authcontroller", "message.malformed")
    assert (letter.stream, letter.subject) == (AUTH_STREAM, AUTH_REQUEST)
    assert (letter.refused_by, letter.deliveries) == ("authcontroller-7", 1)
    assert letter.headers["Nats-Msg-Id"] == payload.decode()
    assert letter.sequence > 0
    assert letter.refused_at is not None
    assert before <= letter.refused_at <= datetime.now(UTC)


async def test_a_replay_brings_the_same_bytes_to_the_consumer_again(
    declared: RunningCluster,
) -> None:
    payload, seen = new_payload(), asyncio.Queue[Delivery]()
    async with connected(declared, OPERATOR) as operator:
        box = DeadLetterBox(operator)
        stored = await refused(declared, payload, box)
        outcome = await replay_one(box, stored, await marks_of(box), again=False)
        async with (
            connected(declared, AUTHCONTROLLER) as authcontroller,
            answering(authcontroller, seen),
            asyncio.timeout(5),
        ):
            delivery = await seen.get()
            await stored_letter(box, payload, after=stored.id)

    assert outcome.code == "replayed"
    assert (delivery.subject, delivery.payload) == (AUTH_REQUEST, payload)
    assert delivery.headers["Nats-Msg-Id"] == f"replay:{stored.id}:1"


async def test_a_second_replay_is_refused_unless_it_is_wanted(declared: RunningCluster) -> None:
    async with connected(declared, OPERATOR) as operator:
        box = DeadLetterBox(operator)
        stored = await refused(declared, new_payload(), box)
        await replay_one(box, stored, await marks_of(box), again=False)
        await noted(box, stored.id, 2)

        second = await replay_one(box, stored, await marks_of(box), again=False)
        wanted = await replay_one(box, stored, await marks_of(box), again=True)

    assert (second.code, wanted.code) == ("replay.already_done", "replayed")
    assert f"replay:{stored.id}:2" in wanted.detail


async def test_a_replay_that_died_after_its_publish_is_finished_without_a_second_copy(
    declared: RunningCluster,
) -> None:
    async with connected(declared, OPERATOR) as operator:
        box = DeadLetterBox(operator)
        stored = await refused(declared, new_payload(), box)
        assert stored.letter is not None
        replay = Replay(stored.id, 1)
        await box.note(ReplayMark(stored.id, 1, is_done=False, at=datetime.now(UTC)))
        assert await box.publish(stored.letter, replay)

        outcome = await replay_one(box, stored, await noted(box, stored.id, 1), again=False)
        marks = await noted(box, stored.id, 2)

    assert outcome.code == "replayed"
    assert "was there already" in outcome.detail
    assert [mark.is_done for mark in marks] == [False, True]


async def test_a_letter_that_is_removed_is_gone_and_others_are_not(
    declared: RunningCluster,
) -> None:
    async with connected(declared, OPERATOR) as operator:
        box = DeadLetterBox(operator)
        first = await refused(declared, new_payload(), box)
        second = await refused(declared, new_payload(), box)

        removed = await box.remove([first.id])
        once_more = await box.remove([first.id])
        async with asyncio.timeout(5):
            while first.id in (left := {s.id for s in (await box.fetch_all()).letters}):
                await asyncio.sleep(0.05)

    assert (removed, once_more) == (1, 0)
    assert second.id in left


async def test_more_letters_than_one_answer_holds_are_all_read_in_order(
    declared: RunningCluster,
) -> None:
    wanted = [f"{RUN}-many-{number}".encode() for number in range(600)]
    async with (
        connected(declared, GATEKEEPER) as gatekeeper,
        connected(declared, OPERATOR) as operator,
    ):
        async with asyncio.TaskGroup() as group:
            for text in wanted:
                group.create_task(
                    gatekeeper.publish(
                        dead_letters(GATEKEEPER), text, message_id=f"letter-{text.decode()}"
                    )
                )
        box = DeadLetterBox(operator)
        async with asyncio.timeout(5):
            while not await are_all_there(box, wanted):
                await asyncio.sleep(0.05)
        letters = (await box.fetch_all()).letters

    found = [stored for stored in letters if stored.raw in set(wanted)]
    assert {stored.raw for stored in found} == set(wanted)
    assert [stored.id for stored in letters] == sorted({stored.id for stored in letters})
    assert {(stored.service, stored.letter) for stored in found} == {("gatekeeper", None)}


async def test_headers_of_a_stored_letter_cannot_hide_the_letters_after_it(
    declared: RunningCluster,
) -> None:
    last = new_payload()
    async with (
        connected(declared, GATEKEEPER) as gatekeeper,
        connected(declared, OPERATOR) as operator,
    ):
        lying = {"Status": "204", "Nats-Sequence": "999999", "Nats-Subject": "dlq.metadata"}
        link = gatekeeper._current
        assert link is not None
        await link.ask(dead_letters(GATEKEEPER), b"lies", timeout_s=2, headers=lying)
        await gatekeeper.publish(dead_letters(GATEKEEPER), last, message_id=last.decode())

        box = DeadLetterBox(operator)
        async with asyncio.timeout(5):
            while not await are_all_there(box, [b"lies", last]):
                await asyncio.sleep(0.05)
        letters = (await box.fetch_all()).letters

    liar, honest = letters[-2:]
    assert (liar.raw, liar.service) == (b"lies", "gatekeeper")
    assert (honest.raw, honest.id) == (last, liar.id + 1)


async def fill(bus: Bus, stored: list[bytes]) -> None:
    """Publish letters for ever, and say which were stored."""
    while True:
        message_id = f"{RUN}-full-{len(stored)}"
        letter = os.urandom(100 << 10)
        await bus.publish(dead_letters(GATEKEEPER), letter, message_id=message_id)
        stored.append(letter)


async def are_all_there(box: DeadLetterBox, letters: Iterable[bytes]) -> bool:
    # A direct read is answered by any replica, which may be a moment behind.
    return {stored.raw for stored in (await box.fetch_all()).letters} >= set(letters)


async def test_a_full_stream_takes_no_letter_and_loses_none(declared: RunningCluster) -> None:
    async with (
        connected(declared, METADATA) as metadata,
        connected(declared, GATEKEEPER) as gatekeeper,
        connected(declared, OPERATOR) as operator,
    ):
        box, declaration = DeadLetterBox(operator), JetStreamDeclaration(metadata)
        await box.remove([stored.id for stored in (await box.fetch_all()).letters])
        await declaration.declare([replace(SPEC, max_bytes=1 << 20)], [], replicas=3)
        stored: list[bytes] = []
        try:
            # Said at once, not after the half minute for which a publish is repeated.
            with pytest.raises(StreamFullError):
                async with asyncio.timeout(10):
                    await fill(gatekeeper, stored)
            async with asyncio.timeout(5):
                while not await are_all_there(box, stored):
                    await asyncio.sleep(0.05)
        finally:
            await declaration.declare([SPEC], [], replicas=3)

    assert len(stored) >= 5


async def test_a_letter_that_cannot_be_stored_leaves_the_message_in_its_stream(
    declared: RunningCluster,
) -> None:
    payload, seen = new_payload(), asyncio.Queue[Delivery]()
    async with (
        connected(declared, METADATA) as metadata,
        connected(declared, GATEKEEPER) as gatekeeper,
        connected(declared, AUTHCONTROLLER) as authcontroller,
        connected(declared, OPERATOR) as operator,
    ):
        box, declaration = DeadLetterBox(operator), JetStreamDeclaration(metadata)
        await gatekeeper.publish(dead_letters(GATEKEEPER), payload, message_id="fills it")
        await declaration.declare([replace(SPEC, max_bytes=1)], [], replicas=3)
        try:
            async with answering(authcontroller, seen), asyncio.timeout(10):
                await gatekeeper.publish(AUTH_REQUEST, payload, message_id=payload.decode())
                deliveries = [(await seen.get()).deliveries for _ in range(2)]
                await declaration.declare([SPEC], [], replicas=3)
                stored = await stored_letter(box, payload)
        finally:
            await declaration.declare([SPEC], [], replicas=3)

    assert deliveries == [1, 2]
    assert stored.letter is not None
    assert stored.letter.deliveries >= 2


async def test_a_stream_of_an_earlier_version_keeps_its_locks_and_takes_the_rest(
    declared: RunningCluster,
) -> None:
    locked = next(spec for spec in STREAMS if spec.name == STATUS_STREAM)
    async with connected(declared, METADATA) as metadata:
        declaration = JetStreamDeclaration(metadata)

        await declaration.declare(
            [replace(locked, deletable=True, max_bytes=8 << 20)], [], replicas=3
        )

        raw = await metadata.request_raw(f"$JS.API.STREAM.INFO.{STATUS_STREAM}", b"", timeout_s=2)
        await declaration.declare([locked], [], replicas=3)
    config = json.loads(raw)["config"]
    assert (config["deny_delete"], config["max_bytes"]) == (True, 8 << 20)
