"""``dead-letters``: lists, shows, replays and removes what services had to refuse."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.console import Console

from console.letter_display import (
    details,
    letters_table,
    print_details,
    printable,
    summary,
)
from console.letter_selection import Selection, SelectionError
from console.operator_bus import open_operator_bus
from console.operator_settings import Target, read_operator_settings
from svc_core.adapters.dead_letter_box import BoxContents, DeadLetterBox, StoredLetter
from svc_core.domain.replays import Replay, ReplayMark, check_replayable, plan_replay
from svc_core.errors import MalformedMessageError, NotFoundError, RejectedError

_FAILED: Final = 1
_WIDTH: Final = 140
"""Columns where nobody says how many there are, so that ids and codes stay in one piece."""


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What ``replay`` was asked for."""

    target: Target
    selection: Selection
    again: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one letter that was to be replayed."""

    id: int
    code: str
    """``replayed``, or the code of the reason why not."""
    detail: str


async def list_letters(target: Target, selection: Selection, *, limit: int, as_json: bool) -> int:
    """Print the letters that are meant, the newest first, and return 0."""
    async with open_operator_bus(read_operator_settings(target)) as bus:
        contents = await DeadLetterBox(bus).fetch_all()
    chosen = selection.of(contents.letters)
    shown = chosen[::-1][:limit]
    marks = _notes(contents)
    if as_json:
        rows = [summary(stored, marks) for stored in shown]
        _write_json({"matching": len(chosen), "letters": rows})
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=_WIDTH)
        console.print(letters_table(shown, marks))
        rest = f"{len(shown)} of {len(chosen)} dead letters"
        _say(console, f"{rest}; `securetransport dead-letters show ID` says more about one")
    return 0


async def show_letter(target: Target, letter: int, *, as_json: bool) -> int:
    """Print everything about one letter, and return 0.

    Raises:
        NotFoundError: there is no such letter.
    """
    async with open_operator_bus(read_operator_settings(target)) as bus:
        contents = await DeadLetterBox(bus).fetch_all()
    (stored,) = _required(contents, [letter])
    if as_json:
        _write_json(details(stored, _notes(contents)))
    else:
        print_details(Console(), stored, _notes(contents))
    return 0


async def replay_letters(options: ReplayOptions) -> int:
    """Send the messages of the letters that are meant again, each once, oldest first.

    Returns:
        0 when every message is in its stream again, else 1.

    Raises:
        NotFoundError: a letter was named that does not exist.
    """
    async with open_operator_bus(read_operator_settings(options.target)) as bus:
        box = DeadLetterBox(bus)
        contents = await box.fetch_all()
        chosen = options.selection.of(_required(contents, options.selection.ids))
        outcomes = []
        for stored in chosen:
            outcome = await replay_one(box, stored, _notes(contents), again=options.again)
            outcomes.append(outcome)
            if not options.as_json:
                _say(Console(), f"{outcome.id}: {printable(outcome.detail)}")
    failed = [outcome for outcome in outcomes if outcome.code != "replayed"]
    if options.as_json:
        rows = [{"id": o.id, "outcome": o.code, "detail": o.detail} for o in outcomes]
        _write_json({"replayed": len(outcomes) - len(failed), "letters": rows})
    else:
        _say(Console(), f"{len(outcomes) - len(failed)} of {len(outcomes)} sent again")
    return _FAILED if failed else 0


async def replay_one(
    box: DeadLetterBox, stored: StoredLetter, marks: Iterable[ReplayMark], *, again: bool
) -> Outcome:
    """Replay one letter and say what became of it.

    The note comes first: a replay that dies after its publish is repeated under the same id.
    """
    try:
        letter = stored.letter
        if letter is None:
            raise MalformedMessageError("what is stored is no dead letter")
        check_replayable(
            stream=letter.stream, subject=letter.subject, is_complete=letter.is_complete
        )
        replay = plan_replay(stored.id, marks, now=datetime.now(UTC), again=again)
        await box.note(_mark(replay, is_done=False))
        is_new = await box.publish(letter, replay)
        await box.note(_mark(replay, is_done=True))
    except RejectedError as err:
        advice = f"; {err.advice}" if err.advice else ""
        return Outcome(stored.id, err.code, f"not sent: {err}{advice}")
    place = f"{letter.subject} as {replay.message_id}"
    return Outcome(
        stored.id,
        "replayed",
        f"sent again on {place}" if is_new else f"was there already on {place}",
    )


async def choose_letters(target: Target, selection: Selection) -> list[int]:
    """Return the ids of the letters that are meant.

    Raises:
        NotFoundError: a letter was named that does not exist.
    """
    async with open_operator_bus(read_operator_settings(target)) as bus:
        contents = await DeadLetterBox(bus).fetch_all()
    return [stored.id for stored in selection.of(_required(contents, selection.ids))]


async def purge_letters(target: Target, letters: Iterable[int], *, as_json: bool) -> int:
    """Remove letters for good, then what was noted about them; print how many, and return 0."""
    wanted = set(letters)
    async with open_operator_bus(read_operator_settings(target)) as bus:
        box = DeadLetterBox(bus)
        removed = await box.remove(sorted(wanted))
        # Last: without its notes a letter that is still there could be replayed twice.
        contents = await box.fetch_all()
        await box.remove(place for place, mark in contents.marks if mark.letter in wanted)
    if as_json:
        _write_json({"removed": removed})
    else:
        _say(Console(), f"{removed} dead letters removed")
    return 0


def require_condition(selection: Selection, *, everything: bool) -> None:
    """Refuse options that mean all letters without saying so, or say two different things."""
    if selection.is_empty and not everything:
        raise SelectionError("name letters by id, by a filter, or say --all")
    if selection.ids and everything:
        raise SelectionError("either name letters or say --all")


def _required(contents: BoxContents, ids: Iterable[int]) -> tuple[StoredLetter, ...]:
    wanted = set(ids)
    if missing := wanted - {stored.id for stored in contents.letters}:
        raise NotFoundError(f"there is no dead letter {min(missing)}")
    if not wanted:
        return contents.letters
    return tuple(stored for stored in contents.letters if stored.id in wanted)


def _notes(contents: BoxContents) -> list[ReplayMark]:
    return [mark for _, mark in contents.marks]


def _mark(replay: Replay, *, is_done: bool) -> ReplayMark:
    return ReplayMark(replay.letter, replay.attempt, is_done, datetime.now(UTC))


def _write_json(document: object) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
