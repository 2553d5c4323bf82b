"""All benchmarks in a row: a failure of one is no reason to leave out the others."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from benchmarks.report import Target
from console.bench_all import measure_all, overview
from console.bench_part import Found, Measure, Progress
from devstack.errors import MissingProgramError

MET = Target("quick", ">= 1", "2", is_met=True)
MISSED = Target("small", "<= 1", "3", is_met=False)


def finds(*targets: Target, takes_s: float = 1.0) -> Measure:
    async def measure(progress: Progress) -> Found:
        progress("measuring", 0.5)
        await asyncio.sleep(takes_s)
        return Found(Text("tables"), {"benchmark": "some"}, targets)

    return measure


async def fails(progress: Progress) -> Found:
    raise MissingProgramError("bao")


@contextmanager
def noting(said: list[str]) -> Iterator[Callable[[str, float], None]]:
    def show(text: str, share: float) -> None:
        said.append(text)

    yield show


async def test_every_one_is_measured_whatever_became_of_those_before() -> None:
    said: list[str] = []
    told: list[Found] = []

    parts = await measure_all(
        [("a", finds(MET)), ("b", fails), ("c", finds(MISSED, takes_s=2.5))],
        lambda: noting(said),
        told.append,
    )

    assert [(part.name, part.seconds, part.found is None) for part in parts] == [
        ("a", 1.0, False),
        ("b", 0.0, True),
        ("c", 2.5, False),
    ]
    assert said == ["1 of 3, a: measuring", "3 of 3, c: measuring"]
    assert told == [part.found for part in parts if part.found is not None]


async def test_a_document_says_what_each_found_or_why_it_did_not() -> None:
    parts = await measure_all([("a", finds()), ("b", fails)], lambda: noting([]), lambda _: None)

    found, failed = (part.as_document() for part in parts)

    assert found == {"seconds": 1.0, "benchmark": "some"}
    assert failed.keys() == {"seconds", "error"}
    assert "bao" in failed["error"]


async def test_one_table_has_every_target_and_every_failure() -> None:
    parts = await measure_all(
        [("a", finds(MET, MISSED)), ("b", fails), ("c", finds())],
        lambda: noting([]),
        lambda _: None,
    )
    console = Console(width=160)

    with console.capture() as captured:
        console.print(overview(parts))

    rows = [" ".join(line.split()) for line in captured.get().splitlines()]
    assert "a 1 s quick >= 1 2 met" in rows
    assert "small <= 1 3 missed" in rows
    assert any(row.startswith("b 0 s failed") and "bao" in row for row in rows)
    assert "c 1 s no targets - - -" in rows
