"""What the reports of all benchmarks have: where it was measured, tables, spreads, targets."""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.machine import Machine
from benchmarks.report import Target
from benchmarks.spread import Spread

NONE: Final = "-"
"""Where there is no figure."""

_WIDTH: Final = 120
"""Columns where no terminal says how many there are."""


def print_report(tables: RenderableType, document: Mapping[str, Any], *, as_json: bool) -> None:
    """Print ``tables`` on standard output; with ``as_json`` the document there, they beside it."""
    print_tables(tables, beside=as_json)
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        sys.stdout.flush()


def print_tables(tables: RenderableType, *, beside: bool) -> None:
    """Print ``tables`` on standard output, or beside it on standard error."""
    console = Console(stderr=beside)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(tables, highlight=False)


def header(machine: Machine, versions: Mapping[str, str], plan: str) -> Text:
    """Return the machine, the versions and what was measured, a line each."""
    load = " ".join(f"{value:.2f}" for value in machine.load)
    return Text(
        f"{machine.cpu}, {len(machine.cpus)} usable cores, load {load} before; {machine.system}\n"
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}\n"
        f"{plan}"
    )


def plain_table(title: str) -> Table:
    """Return an empty table under ``title``."""
    return Table(title=f"\n{title}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def targets_table(targets: tuple[Target, ...], title: str = "Targets") -> Table:
    """Return what was wanted beside what was found."""
    table = plain_table(title)
    for column in ("what", "wanted", "found", ""):
        table.add_column(column)
    for target in targets:
        table.add_row(target.claim, target.wanted, target.measured, verdict_text(target))
    return table


def verdict_text(target: Target) -> Text:
    """Return whether a target is met, in colour."""
    return Text("met", style="green") if target.is_met else Text("missed", style="bold red")


def spread_text(spread: Spread | None, style: str = ".1f") -> str:
    """Return the median ± half the span from the 10th to the 90th percentile."""
    if spread is None:
        return NONE
    return f"{spread.median:{style}} ± {(spread.p90 - spread.p10) / 2:{style}}"
