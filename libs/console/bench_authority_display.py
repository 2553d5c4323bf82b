"""What ``bench authority`` found, for people."""

import json
import sys
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.authority_report import AuthorityReport, ShapeFigure, StepFigure, idle_lag
from benchmarks.report import Target
from benchmarks.spread import Spread

_WIDTH: Final = 120


def show_authority_report(report: AuthorityReport, *, as_json: bool) -> None:
    """Print the tables on standard output; with ``as_json`` the JSON there, the tables beside."""
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(authority_tables(report), highlight=False)
    if as_json:
        sys.stdout.write(json.dumps(report.as_document(), indent=2) + "\n")
        sys.stdout.flush()


def authority_tables(report: AuthorityReport) -> Group:
    """Return where it was measured, each shape's steps and sizes, and the targets."""
    parts: list[RenderableType] = [_header(report)]
    shipped = report.shapes[0]
    for shape in report.shapes:
        parts += [_steps(shape, shipped), _sizes(shape), _notes(shape)]
    parts.append(_targets(report.targets))
    return Group(*parts)


def _header(report: AuthorityReport) -> Text:
    machine = report.machine
    load = " ".join(f"{value:.2f}" for value in machine.load)
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return Text(
        f"{machine.cpu}, {len(machine.cpus)} usable cores, load {load} before; {machine.system}\n"
        f"{versions}\n"
        f"{report.repeats} key epochs, one authority with the lease, one OpenBao, no broker"
    )


def _steps(shape: ShapeFigure, shipped: ShapeFigure) -> Table:
    table = _table(f"Steps of an epoch, ms: {shape.shape}")
    table.add_column("what")
    columns = ["times", "median", "p99", "most", "processor", "longest turn", "lag"]
    if shape is not shipped:
        columns.append("times the shipped")
    for column in columns:
        table.add_column(column, justify="right")
    for figure in shape.steps:
        cells = [str(figure.count), _spread(figure.median)]
        cells += [f"{figure.each.p99:,.1f}", f"{figure.each.most:,.1f}"]
        cells += [_spread(figure.cpu), _spread(figure.turn), _spread(figure.lag)]
        if shape is not shipped:
            cells.append(_ratio(figure, shipped))
        table.add_row(figure.step, *cells)
    return table


def _ratio(figure: StepFigure, shipped: ShapeFigure) -> str:
    return f"{figure.median.median / shipped.step(figure.step).median.median:,.1f}"


def _sizes(shape: ShapeFigure) -> Table:
    table = _table("Sizes, bytes")
    table.add_column("what")
    for column in ("how many", "smallest", "median", "largest"):
        table.add_column(column, justify="right")
    for figure in shape.sizes:
        numbers = (figure.count, figure.least, figure.median, figure.most)
        table.add_row(figure.what, *(f"{number:,}" for number in numbers))
    return table


def _notes(shape: ShapeFigure) -> Text:
    memory, lag = shape.memory, idle_lag(shape)
    return Text(
        f"memory: {memory.before:.0f} MiB before there were rights, {memory.now:.0f} MiB with "
        f"five epochs, at most {memory.peak:.0f} MiB; with nothing to do the lag was up to "
        f"{lag.median:.1f} ms",
        style="dim",
    )


def _targets(targets: tuple[Target, ...]) -> Table:
    table = _table("Targets of the authority")
    for column in ("what", "wanted", "found", ""):
        table.add_column(column)
    for target in targets:
        verdict = Text("met", style="green") if target.is_met else Text("missed", style="bold red")
        table.add_row(target.claim, target.wanted, target.measured, verdict)
    return table


def _table(title: str) -> Table:
    return Table(title=f"\n{title}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _spread(spread: Spread) -> str:
    return f"{spread.median:,.1f} ± {(spread.p90 - spread.p10) / 2:,.1f}"
