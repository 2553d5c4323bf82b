"""One benchmark, as its own command and `bench all` run it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import typer
from rich.console import RenderableType

from benchmarks.report import Target
from console.bench_display import open_progress
from console.bench_tables import print_report
from console.interrupts import run_command

Progress = Callable[[str, float], None]
"""Shows what is done now, and the share of the whole that is over."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one benchmark found."""

    tables: RenderableType
    document: Mapping[str, Any]
    targets: tuple[Target, ...]


Measure = Callable[[Progress], Awaitable[Found]]


def run_part(measure: Measure, *, as_json: bool) -> NoReturn:
    """Measure, print what was found, and end with the command's exit code."""

    async def run() -> int:
        with open_progress() as progress:
            found = await measure(progress)
        print_report(found.tables, found.document, as_json=as_json)
        return 0

    raise typer.Exit(run_command(run))
