"""What is kept of a message that was refused for good, and in which order."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from svc_core.domain.identity import AUTHCONTROLLER, InstanceName
from svc_core.domain.journal_records import RecordKind
from svc_core.domain.subjects import AUTH_REQUEST, AUTH_STREAM, dead_letters
from svc_core.errors import BusError, MalformedMessageError
from svc_core.flows.refusals import Refusals, Refuser
from svc_core.ports.bus import Delivery
from svc_core.runtime.traffic_metrics import TrafficMetrics
from svc_core.wire import dead_letter
from svc_core.wire.dead_letter import PAYLOAD_LIMIT, DeadLetter
from tests.fakes.clock import START, LoopClock
from tests.fakes.memory_bus import MemoryBus
from tests.fakes.memory_journal import MemoryJournal

DELIVERY = Delivery(AUTH_REQUEST, b"refused", {"Nats-Msg-Id": "x", "Trace": "1"}, 41, 3)
ERROR = MalformedMessageError("no message")


@dataclass
class Scene:
    bus: MemoryBus = field(default_factory=MemoryBus)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    metrics: TrafficMetrics = field(default_factory=lambda: TrafficMetrics(CollectorRegistry()))

    def refusals(self) -> Refusals:
        refuser = Refuser(AUTHCONTROLLER, InstanceName("authcontroller-7"))
        return Refusals(refuser, AUTH_STREAM, self.bus, self.journal, LoopClock(), self.metrics)

    @property
    def letters(self) -> list[DeadLetter]:
        stored = self.bus.stored(dead_letters(AUTHCONTROLLER))
        return [dead_letter.decode(message.payload) for message in stored]


async def test_a_letter_holds_all_that_is_known_about_the_refusal() -> None:
    scene = Scene()

    await scene.refusals()(DELIVERY, ERROR)

    (letter,) = scene.letters
    assert letter == DeadLetter(
        "message.malformed",
        AUTH_STREAM,
        AUTH_REQUEST,
        41,
        b"refused",
        payload_size=7,
        headers={"Nats-Msg-Id": "x", "Trace": "1"},
        deliveries=3,
        refused_at=letter.refused_at,
        refused_by="authcontroller-7",
    )
    assert letter.refused_at is not None
    assert letter.refused_at - START < timedelta(seconds=1)
    assert [(r.kind, r.record_id, r.extra) for r in scene.journal.records] == [
        (RecordKind.REJECTED, "AUTH_STREAM#41", "message.malformed")
    ]
    assert scene.metrics.snapshot().rejected == 1


async def test_a_refusal_that_is_repeated_leaves_one_letter() -> None:
    scene = Scene()

    await scene.refusals()(DELIVERY, ERROR)
    await scene.refusals()(DELIVERY, ERROR)

    assert len(scene.letters) == 1


async def test_without_a_letter_nothing_says_that_it_was_refused() -> None:
    scene = Scene()
    scene.bus.fault = lambda _topic, _message_id: BusError("the stream is full")

    with pytest.raises(BusError):
        await scene.refusals()(DELIVERY, ERROR)

    assert scene.letters == []
    assert scene.journal.records == []
    assert scene.metrics.snapshot().rejected == 0


@pytest.mark.parametrize("size", [PAYLOAD_LIMIT, PAYLOAD_LIMIT + 1, 1 << 20])
async def test_a_message_of_any_size_becomes_a_letter(size: int) -> None:
    scene = Scene()
    large = Delivery(AUTH_REQUEST, bytes(size), {"A": "a" * (1 << 20)}, 42, 1)

    await scene.refusals()(large, ERROR)

    (letter,) = scene.letters
    assert (letter.payload_size, len(letter.payload)) == (size, min(size, PAYLOAD_LIMIT))
    assert letter.is_complete == (size <= PAYLOAD_LIMIT)


async def test_an_error_that_is_none_of_ours_has_a_code_too() -> None:
    scene = Scene()

    await scene.refusals()(DELIVERY, ZeroDivisionError("a bug"))

    assert [letter.code for letter in scene.letters] == ["internal.unclassified"]
