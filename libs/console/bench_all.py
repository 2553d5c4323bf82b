"""``bench all``: one benchmark after the other, and one table of what each found at the end."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from console.bench_amounts import BRIEF, FULL
from console.options import BesideTables

if TYPE_CHECKING:
    from rich.table import Table

    from console.bench_part import Found, Measure, Progress

_ROUNDED: Final = 1


@dataclass(frozen=True, slots=True)
class Part:
    """What became of one benchmark."""

    name: str
    seconds: float
    """How long it took."""
    found: "Found | None"
    """None: it failed."""
    failure: str = ""

    def as_document(self) -> Mapping[str, Any]:
        """Return it as values of JSON."""
        own = {"error": self.failure} if self.found is None else self.found.document
        return {"seconds": round(self.seconds, _ROUNDED), **own}


def everything(
    brief: Annotated[
        bool, typer.Option("--brief", help="As little as shows that all of them work.")
    ] = False,
    json: BesideTables = False,
) -> None:
    """Run all benchmarks one after the other and end with one table of their targets.

    About a quarter of an hour; with --brief about one minute, whose figures mean nothing. Exit
    codes: 0 all measured, whatever the targets say; 1 one failed; 130 or 143 on a signal.
    """
    from console.bench_display import open_progress
    from console.bench_parts import every_part
    from console.bench_tables import print_report, print_tables
    from console.interrupts import FAILED, run_command

    async def run() -> int:
        parts = await measure_all(
            every_part(BRIEF if brief else FULL),
            open_progress,
            lambda found: print_tables(found.tables, beside=json),
        )
        document = {"benchmark": "all", "parts": {p.name: p.as_document() for p in parts}}
        print_report(overview(parts), document, as_json=json)
        return FAILED if any(part.found is None for part in parts) else 0

    raise typer.Exit(run_command(run))


async def measure_all(
    measures: "Sequence[tuple[str, Measure]]",
    open_progress: "Callable[[], AbstractContextManager[Progress]]",
    tell: "Callable[[Found], None]",
) -> list[Part]:
    """Measure one after the other, whether or not those before failed.

    Args:
        measures: what, with its name.
        open_progress: yields what is told how far one of them is.
        tell: is given what each found when that one is over.
    """
    parts: list[Part] = []
    for number, (name, measure) in enumerate(measures, 1):
        with open_progress() as progress:
            numbered = _numbered(progress, f"{number} of {len(measures)}, {name}")
            part = await _measured(name, measure, numbered)
        if part.found is not None:
            tell(part.found)
        parts.append(part)
    return parts


async def _measured(name: str, measure: "Measure", progress: "Progress") -> Part:
    import asyncio

    from svc_core.errors import SvcError

    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        found = await measure(progress)
    except SvcError as err:
        return Part(name, loop.time() - began, None, f"{err} [{err.code}]")
    return Part(name, loop.time() - began, found)


def _numbered(progress: "Progress", which: str) -> "Progress":
    def show(text: str, share: float) -> None:
        progress(f"{which}: {text}", share)

    return show


def overview(parts: Sequence[Part]) -> "Table":
    """Return every target of every benchmark, and how long each benchmark took."""
    from console.bench_tables import NONE, plain_table, verdict_text

    table = plain_table("Everything at a glance")
    for column in ("benchmark", "took", "what", "wanted", "found", ""):
        table.add_column(column)
    for part in parts:
        head = (part.name, f"{part.seconds:.0f} s")
        if part.found is None:
            table.add_row(*head, "failed", NONE, part.failure, NONE)
            continue
        if not part.found.targets:
            table.add_row(*head, "no targets", NONE, NONE, NONE)
        for number, target in enumerate(part.found.targets):
            first = head if number == 0 else ("", "")
            table.add_row(
                *first, target.claim, target.wanted, target.measured, verdict_text(target)
            )
    return table
