"""What counts as lost, duplicated, in doubt, late; and what a run must prove."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from svc_core.domain.journal_records import JournalRecord, RecordKind, unix_ns
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.profiles import PROFILES
from svc_core.domain.timing import SwapWindow
from svc_core.domain.traffic import count_traffic
from svc_core.domain.verdict import Circumstances, RotationFacts, Verdict, boundaries, judge

DEMO = PROFILES["demo"]
START = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
ORDER = LoadOrder("run", 1.0, START, START + timedelta(seconds=4))
KEY_EPOCH = DEMO.keys.current(START).number
NO_ROTATIONS = RotationFacts(frozenset(), ())

BOOTED, SENT, ACKED = RecordKind.BOOTED, RecordKind.SENT, RecordKind.ACKED
HANDLED, ANSWERED = RecordKind.HANDLED, RecordKind.ANSWERED


def at(seconds: float) -> int:
    return unix_ns(START + timedelta(seconds=seconds))


def life(index: int, *kinds: RecordKind, answered_after: float = 0.01) -> list[JournalRecord]:
    """Return the records of one request that got as far as ``kinds`` say."""
    extras = {
        SENT: str(at(index)),
        HANDLED: f"{KEY_EPOCH}/gatekeeper",
        ANSWERED: f"{KEY_EPOCH}/authcontroller",
    }
    return [
        JournalRecord(
            kind,
            at(index + (answered_after if kind is ANSWERED else 0)),
            f"run-boot-{index}",
            extras.get(kind, ""),
        )
        for kind in kinds
    ]


def whole(index: int, *, answered_after: float = 0.01) -> list[JournalRecord]:
    return life(index, SENT, ACKED, HANDLED, ANSWERED, answered_after=answered_after)


def four() -> list[JournalRecord]:
    return [record for index in range(4) for record in whole(index)]


def verdict_on(
    records: Sequence[JournalRecord],
    *,
    order: LoadOrder = ORDER,
    rotations: RotationFacts = NO_ROTATIONS,
    damaged_lines: int = 0,
) -> Verdict:
    circumstances = Circumstances(DEMO, {"python": "3.11"}, damaged_lines=damaged_lines)
    return judge(count_traffic(records, order=order), rotations, order, circumstances)


def test_a_run_in_which_everything_was_answered_once_is_good() -> None:
    verdict = verdict_on(four())

    assert (verdict.sent, verdict.received, verdict.answered) == (4, 4, 4)
    assert verdict.reasons == ()


@pytest.mark.parametrize(
    ("last", "lost", "in_doubt"),
    [
        pytest.param(life(3, SENT, ACKED), 1, 0, id="acknowledged, never handled: lost"),
        pytest.param(life(3, SENT, ACKED, HANDLED), 1, 0, id="response stored, no answer: lost"),
        pytest.param(life(3, SENT, HANDLED), 1, 0, id="handled though not acknowledged: lost"),
        pytest.param(life(3, SENT), 0, 1, id="the sender died while publishing: in doubt"),
        pytest.param(life(3, SENT, HANDLED, ANSWERED), 0, 0, id="died before noting the ack: fine"),
        pytest.param(life(3, SENT, ACKED, ANSWERED), 0, 0, id="answered, handled not noted: fine"),
    ],
)
def test_what_counts_as_lost(last: list[JournalRecord], lost: int, in_doubt: int) -> None:
    verdict = verdict_on([*whole(0), *whole(1), *whole(2), *last])

    assert (verdict.lost, verdict.in_doubt) == (lost, in_doubt)
    assert verdict.is_good is (lost == 0)


@pytest.mark.parametrize("kind", [HANDLED, ANSWERED])
def test_an_effect_recorded_twice_is_a_duplicate(kind: RecordKind) -> None:
    verdict = verdict_on([*four(), *life(2, kind)])

    assert (verdict.duplicated, verdict.lost) == (1, 0)
    assert verdict.reasons == ("1 messages had their effect more than once",)


def test_a_redelivery_is_no_duplicate() -> None:
    verdict = verdict_on([*four(), *life(2, RecordKind.REDELIVERED)])

    assert (verdict.redelivered, verdict.duplicated) == (1, 0)
    assert verdict.is_good


def test_a_gatekeeper_that_was_killed_and_came_back_loses_nothing() -> None:
    reborn = [
        JournalRecord(BOOTED, at(2.5), "boot2"),
        JournalRecord(SENT, at(3), "run-boot2-3", str(at(3))),
        JournalRecord(ACKED, at(3), "run-boot2-3"),
        JournalRecord(HANDLED, at(3), "run-boot2-3", f"{KEY_EPOCH}/gatekeeper"),
        JournalRecord(ANSWERED, at(3.1), "run-boot2-3", f"{KEY_EPOCH}/authcontroller"),
    ]

    verdict = verdict_on([*whole(0), *whole(1), *life(2, SENT), *reborn])

    assert (verdict.sent, verdict.answered, verdict.in_doubt, verdict.boots) == (4, 3, 1, 1)
    assert verdict.is_good


def test_other_runs_do_not_count() -> None:
    other = [
        JournalRecord(SENT, at(1), "other-boot-1", str(at(1))),
        JournalRecord(ACKED, at(1), "other-boot-1"),
        JournalRecord(ANSWERED, at(1), "running-boot-1", f"{KEY_EPOCH}/authcontroller"),
        JournalRecord(RecordKind.REJECTED, at(-60), "AUTH_STREAM#1", "message.malformed"),
    ]

    verdict = verdict_on([*other, *four()])

    assert (verdict.sent, verdict.lost, verdict.rejected, verdict.unasked) == (4, 0, 0, 0)


def test_refusals_are_counted_by_code() -> None:
    refused = [
        JournalRecord(RecordKind.REJECTED, at(1), f"AUTH_STREAM#{n}", code)
        for n, code in enumerate(("message.malformed", "message.malformed", "message.stale"))
    ]

    verdict = verdict_on([*four(), *refused])

    assert verdict.rejected == 3
    assert verdict.rejected_codes == {"message.malformed": 2, "message.stale": 1}


def test_an_answer_nobody_asked_for_is_a_reason() -> None:
    verdict = verdict_on([*four(), *life(7, HANDLED, ANSWERED)])

    assert verdict.reasons == ("1 answers came to requests that were never sent",)


@pytest.mark.parametrize(
    ("records", "damaged", "reason"),
    [
        pytest.param([], 0, "no request was answered", id="nothing happened"),
        pytest.param([*whole(0), *whole(1)], 0, "only 2 of 4 requests were sent", id="half sent"),
        pytest.param(four(), 2, "2 journal lines cannot be read", id="damaged journal"),
    ],
)
def test_a_run_that_proves_nothing_says_why(
    records: list[JournalRecord], damaged: int, reason: str
) -> None:
    assert reason in verdict_on(records, damaged_lines=damaged).reasons


def test_latency_counts_from_when_the_request_was_due() -> None:
    answered_after = (0.010, 0.020, 0.030, 0.400)
    records = [r for i, after in enumerate(answered_after) for r in whole(i, answered_after=after)]

    assert verdict_on(records).latency_ms == {
        "p50": 20.0,
        "p99": 400.0,
        "p999": 400.0,
        "max": 400.0,
    }


def test_without_an_answer_there_is_no_latency() -> None:
    assert set(verdict_on([]).latency_ms.values()) == {None}


@pytest.mark.parametrize(
    ("answers", "longest_ms"),
    [
        pytest.param((0.5, 1.0, 2.5, 3.5), 1500.0, id="between two answers"),
        pytest.param((3.0, 3.2, 3.4, 3.6), 3000.0, id="before the first"),
        pytest.param((0.1, 0.2, 0.3, 0.4), 3600.0, id="after the last"),
        pytest.param((0.5, 1.0, 1.5, 6.0), 4500.0, id="to an answer after the end"),
    ],
)
def test_the_longest_gap_includes_the_edges(answers: tuple[float, ...], longest_ms: float) -> None:
    records = [r for i, second in enumerate(answers) for r in whole(i, answered_after=second - i)]

    assert verdict_on(records).longest_gap_ms == longest_ms


@pytest.mark.parametrize(
    ("swap", "longest_ms"),
    [
        pytest.param((0.6, 0.7), 500.0, id="inside a short gap"),
        pytest.param((0.6, 1.1), 1500.0, id="touches the long gap"),
        pytest.param((3.9, 9.0), 500.0, id="at the end"),
        pytest.param((-9.0, 0.1), 500.0, id="at the start"),
        pytest.param((-9.0, -8.0), None, id="before the load: none of ours"),
    ],
)
def test_only_gaps_that_touch_a_swap_count_as_its(
    swap: tuple[float, float], longest_ms: float | None
) -> None:
    answers = (0.5, 1.0, 2.5, 3.5)
    records = [r for i, second in enumerate(answers) for r in whole(i, answered_after=second - i)]
    began, ended = (START + timedelta(seconds=second) for second in swap)
    rotations = RotationFacts(frozenset(), (SwapWindow("gatekeeper", began, ended),))

    assert verdict_on(records, rotations=rotations).longest_gap_during_swap_ms == longest_ms


def test_boundaries_include_the_start_and_exclude_the_end() -> None:
    epoch = DEMO.ca.current(START).next()
    boundary = DEMO.ca.starts(epoch)

    assert boundaries(DEMO.ca, boundary, boundary + DEMO.ca.period) == (epoch.number,)


def test_planned_rotations_that_were_not_completed_are_reasons() -> None:
    order = LoadOrder("run", 1.0, START, START + timedelta(seconds=60))
    epochs = boundaries(DEMO.ca, order.starts_at, order.ends_at)
    records = [record for index in range(60) for record in whole(index)]

    verdict = verdict_on(records, order=order, rotations=RotationFacts(frozenset(epochs[:1]), ()))

    assert (verdict.ca_rotations, verdict.planned_ca_rotations) == (1, 2)
    assert (verdict.key_rotations, verdict.planned_key_rotations) == (0, 3)
    assert verdict.reasons == (
        "only 1 of 2 planned CA rotations were completed",
        "only 0 of 3 planned key rotations were completed",
    )


def test_a_key_rotation_is_complete_once_an_answer_came_under_the_new_keys() -> None:
    order = LoadOrder("run", 1.0, START, START + timedelta(seconds=20))
    (epoch,) = boundaries(DEMO.keys, order.starts_at, order.ends_at)
    answer = JournalRecord(ANSWERED, at(19), "run-boot-19", f"{epoch}/authcontroller")

    verdict = verdict_on([*four(), *life(19, SENT, ACKED, HANDLED), answer], order=order)

    assert (verdict.key_rotations, verdict.planned_key_rotations) == (1, 1)


def test_a_key_boundary_after_the_last_request_is_not_planned() -> None:
    boundary = DEMO.keys.starts(DEMO.keys.current(START).next())
    order = LoadOrder("run", 0.1, boundary - timedelta(seconds=5), boundary + timedelta(seconds=1))

    assert verdict_on([], order=order).planned_key_rotations == 0


def test_the_document_has_the_promised_names() -> None:
    document = verdict_on(four()).as_document()

    assert list(document)[:16] == [
        "ca_rotations",
        "key_rotations",
        "sent",
        "received",
        "answered",
        "redelivered",
        "lost",
        "duplicated",
        "rejected",
        "latency_ms",
        "longest_gap_ms",
        "longest_gap_during_swap_ms",
        "duration_s",
        "planned_ca_rotations",
        "planned_key_rotations",
        "versions",
    ]
    assert (document["good"], document["reasons"]) == (True, [])
