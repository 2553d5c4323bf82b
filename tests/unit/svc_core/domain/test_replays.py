"""Replays of dead letters: once, unless a person decides otherwise."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.replays import (
    AlreadyReplayedError,
    NotReplayableError,
    Replay,
    ReplayMark,
    ReplayUnknownError,
    check_replayable,
    plan_replay,
)
from svc_core.domain.subjects import AUTH_REQUEST, AUTH_STREAM, DUPLICATE_WINDOW
from svc_core.errors import MalformedMessageError, RejectedError
from svc_core.wire import replay_mark

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
A_MOMENT = timedelta(seconds=10)


def begun(attempt: int = 1, *, ago: timedelta = A_MOMENT, letter: int = 7) -> ReplayMark:
    return ReplayMark(letter, attempt, is_done=False, at=NOW - ago)


def done(attempt: int = 1, *, ago: timedelta = A_MOMENT, letter: int = 7) -> ReplayMark:
    return ReplayMark(letter, attempt, is_done=True, at=NOW - ago)


@pytest.mark.parametrize(
    ("marks", "again", "expected"),
    [
        pytest.param([], False, 1, id="never"),
        pytest.param([], True, 1, id="never, and again is wanted"),
        pytest.param([done(letter=8)], False, 1, id="another letter was"),
        pytest.param([begun()], False, 1, id="interrupted just now: the same attempt"),
        pytest.param([begun()], True, 1, id="interrupted just now, and again is wanted"),
        pytest.param([begun(), done()], False, AlreadyReplayedError, id="done"),
        pytest.param([done()], False, AlreadyReplayedError, id="done, its first note is gone"),
        pytest.param([begun(), done()], True, 2, id="done, and again is wanted"),
        pytest.param([begun(), done(), begun(2)], False, 2, id="the second was interrupted"),
        pytest.param(
            [begun(ago=DUPLICATE_WINDOW)], False, ReplayUnknownError, id="interrupted long ago"
        ),
        pytest.param([begun(ago=DUPLICATE_WINDOW)], True, 2, id="long ago, and again is wanted"),
        pytest.param(
            [begun(ago=DUPLICATE_WINDOW), begun(ago=A_MOMENT)],
            False,
            ReplayUnknownError,
            id="the first note counts",
        ),
    ],
)
def test_a_replay_follows_from_what_was_noted(
    marks: list[ReplayMark], again: bool, expected: int | type[RejectedError]
) -> None:
    if isinstance(expected, int):
        assert plan_replay(7, marks, now=NOW, again=again) == Replay(7, expected)
        return
    with pytest.raises(expected):
        plan_replay(7, marks, now=NOW, again=again)


def test_the_id_of_a_replay_is_the_letters_and_the_attempts() -> None:
    assert Replay(7, 1).message_id == "replay:7:1"
    assert len({Replay(n, a).message_id for n in (1, 11, 2) for a in (1, 11, 2)}) == 9


@pytest.mark.parametrize(
    ("stream", "subject", "is_complete"),
    [
        pytest.param(AUTH_STREAM, "metadata.client.ca-cert", True, id="no data topic"),
        pytest.param("GATEKEEPER_STREAM", AUTH_REQUEST, True, id="another stream's topic"),
        pytest.param("DEAD_LETTERS", "dlq.gatekeeper", True, id="a letter about a letter"),
        pytest.param(AUTH_STREAM, AUTH_REQUEST, False, id="cut short"),
    ],
)
def test_a_letter_cannot_have_something_else_published(
    stream: str, subject: str, is_complete: bool
) -> None:
    with pytest.raises(NotReplayableError):
        check_replayable(stream=stream, subject=subject, is_complete=is_complete)


def test_a_whole_message_of_a_data_topic_can_be_sent_again() -> None:
    check_replayable(stream=AUTH_STREAM, subject=AUTH_REQUEST, is_complete=True)


@given(
    st.builds(
        ReplayMark,
        st.integers(1, 2**63 - 1),
        st.integers(1, 2**31),
        st.booleans(),
        st.datetimes(timezones=st.just(UTC)),
    )
)
def test_a_mark_survives_its_bytes(mark: ReplayMark) -> None:
    assert replay_mark.decode(replay_mark.encode(mark)) == mark


@given(st.binary(max_size=200))
def test_any_bytes_are_a_mark_or_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        replay_mark.decode(raw)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param((b'"letter":7', b'"letter":0'), id="no letter"),
        pytest.param((b'"attempt":1', b'"attempt":0'), id="no attempt"),
        pytest.param((b"replay-mark/1", b"replay-mark/2"), id="another format"),
        pytest.param((b"{", b"{ "), id="not canonical"),
    ],
)
def test_a_mark_that_says_something_else_is_refused(change: tuple[bytes, bytes]) -> None:
    with pytest.raises(MalformedMessageError):
        replay_mark.decode(replay_mark.encode(begun()).replace(*change))
