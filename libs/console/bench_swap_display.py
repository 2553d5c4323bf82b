"""What ``bench swap`` found, for people."""

import json
import sys
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.report import Percentiles, Target
from benchmarks.spread import Spread
from benchmarks.swap_report import Side, SwapReport, WayFigure, noise

_WIDTH: Final = 120
_NONE: Final = "-"


def show_swap_report(report: SwapReport, *, as_json: bool) -> None:
    """Print the tables on standard output; with ``as_json`` the JSON there, the tables beside."""
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(swap_tables(report), highlight=False)
    if as_json:
        sys.stdout.write(json.dumps(report.as_document(), indent=2) + "\n")
        sys.stdout.flush()


def swap_tables(report: SwapReport) -> Group:
    """Return where it was measured, every way with and without swaps, and the targets."""
    parts: list[RenderableType] = [_header(report), _windows(report.ways), _messages(report.ways)]
    if report.targets:
        parts.append(_targets(report.targets))
    parts += [Text(f"{figure.way}: {noise(figure)}", style="dim") for figure in report.ways]
    return Group(*parts)


def _header(report: SwapReport) -> Text:
    machine, plan = report.machine, report.plan
    load = " ".join(f"{value:.2f}" for value in machine.load)
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return Text(
        f"{machine.cpu}, {len(machine.cpus)} usable cores, load {load} before; {machine.system}\n"
        f"{versions}\n"
        f"{plan.swaps} swaps of certificates and trust, {plan.rate:g} messages per second,"
        f" windows of at least {plan.window_s:g} s"
    )


def _windows(figures: tuple[WayFigure, ...]) -> Table:
    table = _table("Windows with a swap beside windows without, ms")
    table.add_column("way")
    columns = ("windows", "longest gap", "at most", "between acks", "p50", "p99", "p99.9")
    for column in (*columns, "gap ratio", "p99 ratio"):
        table.add_column(column, justify="right")
    for figure in figures:
        ratio = figure.p99_ratio
        p99_ratio = _NONE if ratio is None else f"{ratio:.2f}"
        ratios = (f"{figure.gap_ratio:.2f}", p99_ratio)
        table.add_row(figure.way, *_side(figure.swapped), *ratios)
        table.add_row("  without", *_side(figure.quiet), "", "")
    return table


def _side(side: Side) -> tuple[str, ...]:
    gaps = (_spread(side.gap), f"{side.gap.most:.1f}", _spread(side.ack_gap))
    return (str(side.windows), *gaps, *_latency(side.latency))


def _latency(found: Percentiles | None) -> tuple[str, str, str]:
    if found is None:
        return _NONE, _NONE, _NONE
    return f"{found.p50:.1f}", f"{found.p99:.1f}", f"{found.p999:.1f}"


def _messages(figures: tuple[WayFigure, ...]) -> Table:
    table = _table("Messages, and how long both connections took to move, ms")
    table.add_column("way")
    for column in ("sent", "lost", "stored twice", "redelivered", "given up", "repeated", "move"):
        table.add_column(column, justify="right")
    for figure in figures:
        twice = (figure.doubled, figure.redelivered)
        counts = (figure.sent, figure.lost, *twice, figure.failed, figure.repeated)
        table.add_row(figure.way, *(f"{n:,}" for n in counts), _spread(figure.move_ms))
    return table


def _targets(targets: tuple[Target, ...]) -> Table:
    table = _table("Targets of a swap")
    for column in ("what", "wanted", "found", ""):
        table.add_column(column)
    for target in targets:
        verdict = Text("met", style="green") if target.is_met else Text("missed", style="bold red")
        table.add_row(target.claim, target.wanted, target.measured, verdict)
    return table


def _table(title: str) -> Table:
    return Table(title=f"\n{title}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _spread(spread: Spread) -> str:
    return f"{spread.median:.1f} ± {(spread.p90 - spread.p10) / 2:.1f}"
