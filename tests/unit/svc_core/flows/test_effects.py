"""One effect per message, also when it was sealed twice and whoever remembers was restarted."""

from datetime import datetime

from prometheus_client import CollectorRegistry

from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import GATEKEEPER
from svc_core.domain.journal_records import RecordKind
from svc_core.flows.effects import Effects
from svc_core.flows.secure_channel import OpenedMessage
from svc_core.runtime.traffic_metrics import TrafficMetrics
from tests.builders import DEMO, NOW
from tests.fakes.memory_journal import MemoryJournal

EPOCH = DEMO.keys.current(NOW)


class SetClock:
    """A clock that shows what the test sets."""

    def __init__(self) -> None:
        self.shown = NOW

    def now(self) -> datetime:
        """Return what was set."""
        return self.shown

    def monotonic(self) -> float:
        """Return seconds since `NOW`."""
        return (self.shown - NOW).total_seconds()


def sealed_in(epoch: Epoch) -> OpenedMessage:
    """Return one answer, as it arrives when it was sealed with the keys of ``epoch``."""
    return OpenedMessage(
        message_id="run-1",
        message_type="t",
        signer=GATEKEEPER,
        sent_at=NOW,
        key_epoch=epoch.number,
        payload=b"",
        valid_until=DEMO.keys.expires(epoch) + DEMO.skew,
    )


def effects(journal: MemoryJournal, clock: SetClock) -> Effects:
    return Effects(RecordKind.ANSWERED, journal, clock, TrafficMetrics(CollectorRegistry()))


def test_a_copy_sealed_with_later_keys_is_remembered_for_its_own_life() -> None:
    journal, clock = MemoryJournal(), SetClock()
    seen = effects(journal, clock)
    first, copy = sealed_in(EPOCH), sealed_in(EPOCH.next())

    assert seen.record(first, "run-1")
    assert seen.is_done(copy, "run-1")
    clock.shown = first.valid_until

    assert seen.is_done(copy, "run-1")
    assert journal.ids(RecordKind.ANSWERED) == ["run-1"]


def test_a_restart_remembers_the_copy_too() -> None:
    journal, clock = MemoryJournal(), SetClock()
    first, copy = sealed_in(EPOCH), sealed_in(EPOCH.next())
    before = effects(journal, clock)
    before.record(first, "run-1")
    before.is_done(copy, "run-1")

    clock.shown = first.valid_until
    after = effects(journal, clock)
    after.restore(journal.records, DEMO)

    assert after.is_done(copy, "run-1")


def test_what_can_never_come_again_is_forgotten() -> None:
    journal, clock = MemoryJournal(), SetClock()
    before = effects(journal, clock)
    before.record(sealed_in(EPOCH), "run-1")

    clock.shown = sealed_in(EPOCH).valid_until

    assert effects(journal, clock).restore(journal.records, DEMO) == 0


def test_a_restart_on_a_clock_that_is_set_back_later_forgets_nothing() -> None:
    """Keys that expired by a fast clock open again once it is right, and so do messages."""
    journal, clock = MemoryJournal(), SetClock()
    message = sealed_in(EPOCH)
    effects(journal, clock).record(message, "run-1")

    clock.shown = DEMO.keys.expires(EPOCH)
    after = effects(journal, clock)
    after.restore(journal.records, DEMO)
    clock.shown = DEMO.keys.expires(EPOCH) - DEMO.skew

    assert after.is_done(message, "run-1")
