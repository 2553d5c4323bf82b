"""``dead-letters``: which letters are meant, how they are shown, what is advised."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from console.dead_letters import require_condition
from console.letter_advice import meaning_of, next_step
from console.letter_display import (
    details,
    hex_dump,
    letters_table,
    print_details,
    printable,
    replayed,
    summary,
)
from console.letter_selection import UNREADABLE, Selection, SelectionError, read_moment
from svc_core import errors
from svc_core.adapters.dead_letter_box import StoredLetter
from svc_core.crypto.algorithms import Algorithm
from svc_core.domain.replays import ReplayMark
from svc_core.errors import Disposition, SvcError
from svc_core.wire import signed_message
from svc_core.wire.dead_letter import DeadLetter
from tests.vectors.wire_values import drawn, message

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
LETTER = DeadLetter(
    "message.malformed",
    "AUTH_STREAM",
    "auth.auth-request",
    41,
    b"refused \x1b[31m bytes",
    payload_size=19,
    headers={"Trace": "\x1b[31mred"},
    deliveries=3,
    refused_at=NOW - timedelta(hours=2),
    refused_by="authcontroller-7",
)
STORED = StoredLetter(5, "authcontroller", b"raw", LETTER)
OTHER = StoredLetter(6, "gatekeeper", b"raw", replace(LETTER, code="message.stale", refused_at=NOW))
UNDATED = StoredLetter(7, "gatekeeper", b"raw", replace(LETTER, refused_at=None))
NO_LETTER = StoredLetter(8, "gatekeeper", b"nonsense", None)
EVERY = (STORED, OTHER, UNDATED, NO_LETTER)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        pytest.param(Selection(), [5, 6, 7, 8], id="everything"),
        pytest.param(Selection(ids=(8, 5)), [5, 8], id="by id"),
        pytest.param(Selection(service="gatekeeper"), [6, 7, 8], id="by service"),
        pytest.param(Selection(code="message.stale"), [6], id="by code"),
        pytest.param(Selection(code=UNREADABLE), [8], id="what is no letter"),
        pytest.param(Selection(since=NOW - timedelta(hours=1)), [6], id="since"),
        pytest.param(Selection(since=NOW), [6], id="since that very moment"),
        pytest.param(Selection(before=NOW), [5], id="before"),
        pytest.param(Selection(ids=(5,), service="gatekeeper"), [], id="all conditions hold"),
    ],
)
def test_a_selection_means_what_fulfils_all_of_it(
    selection: Selection, expected: list[int]
) -> None:
    assert [stored.id for stored in selection.of(EVERY)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", None, id="nothing"),
        pytest.param("90m", NOW - timedelta(minutes=90), id="so long ago"),
        pytest.param("PT20M", NOW - timedelta(minutes=20), id="so long ago, ISO-8601"),
        pytest.param("2026-01-01T06:00:00Z", datetime(2026, 1, 1, 6, tzinfo=UTC), id="a time"),
        pytest.param(
            "2026-01-01T06:00:00+02:00", datetime(2026, 1, 1, 4, tzinfo=UTC), id="in a zone"
        ),
    ],
)
def test_a_moment_is_a_time_or_so_long_ago(text: str, expected: datetime | None) -> None:
    assert read_moment(text, now=NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "90", "2026-01-01T06:00:00"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(SelectionError):
        read_moment(text, now=NOW)


@pytest.mark.parametrize(
    ("selection", "everything"),
    [
        pytest.param(Selection(), False, id="nothing said"),
        pytest.param(Selection(ids=(1,)), True, id="some, and all"),
    ],
)
def test_all_letters_are_meant_only_by_saying_so(selection: Selection, everything: bool) -> None:
    with pytest.raises(SelectionError):
        require_condition(selection, everything=everything)


def test_a_filter_or_all_is_enough() -> None:
    require_condition(Selection(code="message.stale"), everything=False)
    require_condition(Selection(code="message.stale"), everything=True)
    require_condition(Selection(), everything=True)


@pytest.mark.parametrize(
    "text", ["\x1b[31mred", "two\nlines", "\x9b5m", "bell\x07", "\u202eright to left"]
)
def test_nothing_a_terminal_acts_on_is_printed(text: str) -> None:
    assert printable(text).isprintable()


def test_the_hex_dump_says_where_what_and_how_it_reads() -> None:
    assert hex_dump(b"0123456789abcdef\x1b~") == [
        "000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef",
        "000010  1b 7e                                            .~",
    ]


def shown(stored: StoredLetter) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_details(console, stored, [])
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_letter_is_shown_with_reason_place_and_bytes_and_no_escapes() -> None:
    text = shown(STORED)

    for part in (
        "refused by: authcontroller-7",
        "code: message.malformed",
        "next: find out who published it",
        "place: AUTH_STREAM#41",
        "Trace: \\x1b[31mred",
        "72 65 66 75 73 65 64",
    ):
        assert part in text
    assert "\x1b" not in text


def test_a_message_of_ours_says_what_it_claims_and_keeps_its_payload_to_itself() -> None:
    refused = message(Algorithm.ML_DSA_65, payload=drawn("sealed"), signature=drawn("signature"))
    raw = signed_message.encode(refused)
    stored = StoredLetter(5, "authcontroller", b"", replace(LETTER, payload=raw))

    claims = details(stored, [])["message"]

    assert isinstance(claims, dict)
    assert (claims["message_id"], claims["signer"]) == (refused.message_id, refused.signer)
    assert claims["sealed_bytes"] == len(refused.payload)
    assert f"message id: {refused.message_id}" in shown(stored)


def test_no_more_than_the_start_of_a_message_is_dumped() -> None:
    large = StoredLetter(5, "gatekeeper", b"", replace(LETTER, payload=b"x" * 60_000))

    assert len(shown(large).splitlines()) < 60
    assert len(str(details(large, [])["payload_start_hex"])) == 2 * 512


def test_what_is_no_letter_is_shown_as_it_is() -> None:
    assert "What is stored is no dead letter." in shown(NO_LETTER)
    assert "nonsense" in shown(NO_LETTER)
    assert summary(NO_LETTER, [])["code"] == UNREADABLE


def test_the_table_has_a_line_for_each_letter() -> None:
    console = Console(file=io.StringIO(), width=140)

    console.print(letters_table(EVERY, [ReplayMark(5, 1, is_done=True, at=NOW)]))

    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("│")] == ["5", "6", "7", "8"]
    assert "2026-01-02T12:00:00Z" in next(line for line in lines if line.startswith("│ 5"))


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        pytest.param([], "", id="never"),
        pytest.param([(1, False)], "begun", id="interrupted"),
        pytest.param([(1, False), (1, True)], "2026-01-02T12:00:00Z", id="done"),
        pytest.param([(1, False), (1, True), (2, False)], "begun", id="the second is not done"),
    ],
)
def test_the_last_replay_is_what_is_said(marks: list[tuple[int, bool]], expected: str) -> None:
    notes = [ReplayMark(5, attempt, is_done=is_done, at=NOW) for attempt, is_done in marks]

    assert replayed(5, notes) == expected


def kinds(base: type[SvcError]) -> list[type[SvcError]]:
    return [k for kind in base.__subclasses__() for k in (kind, *kinds(kind))]


def refusals_of_messages() -> list[str]:
    own = [kind for kind in kinds(SvcError) if kind.__module__ == errors.__name__]
    families = ("message.", "topic.", "delivery.")
    return sorted(
        {
            kind.code
            for kind in own
            if kind.disposition is Disposition.REJECT and kind.code.startswith(families)
        }
    )


@pytest.mark.parametrize("code", [*refusals_of_messages(), UNREADABLE])
def test_every_refusal_of_a_message_is_explained(code: str) -> None:
    assert meaning_of(code)
    assert next_step(code) != next_step("no such code") or code == "delivery.exhausted"


def test_a_code_nobody_knows_is_no_obstacle() -> None:
    assert meaning_of("later.invented") == ""
    assert "replay" in next_step("later.invented")
