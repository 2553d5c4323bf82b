"""What ``bench swap`` found, for people."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.report import Percentiles
from benchmarks.swap_report import Side, SwapReport, WayFigure, noise
from console.bench_tables import (
    NONE,
    header,
    plain_table,
    spread_text,
    targets_table,
)


def swap_tables(report: SwapReport) -> Group:
    """Return where it was measured, every way with and without swaps, and the targets."""
    parts: list[RenderableType] = [_header(report), _windows(report.ways), _messages(report.ways)]
    if report.targets:
        parts.append(targets_table(report.targets, "Targets of a swap"))
    parts += [Text(f"{figure.way}: {noise(figure)}", style="dim") for figure in report.ways]
    return Group(*parts)


def _header(report: SwapReport) -> Text:
    plan = report.plan
    measured = (
        f"{plan.swaps} swaps of certificates and trust, {plan.rate:g} messages per second, "
        f"windows of at least {plan.window_s:g} s"
    )
    return header(report.machine, report.versions, measured)


def _windows(figures: tuple[WayFigure, ...]) -> Table:
    table = plain_table("Windows with a swap beside windows without, ms")
    table.add_column("way")
    columns = ("windows", "longest gap", "at most", "between acks", "p50", "p99", "p99.9")
    for column in (*columns, "gap ratio", "p99 ratio"):
        table.add_column(column, justify="right")
    for figure in figures:
        ratio = figure.p99_ratio
        p99_ratio = NONE if ratio is None else f"{ratio:.2f}"
        ratios = (f"{figure.gap_ratio:.2f}", p99_ratio)
        table.add_row(figure.way, *_side(figure.swapped), *ratios)
        table.add_row("  without", *_side(figure.quiet), "", "")
    return table


def _side(side: Side) -> tuple[str, ...]:
    gaps = (spread_text(side.gap), f"{side.gap.most:.1f}", spread_text(side.ack_gap))
    return (str(side.windows), *gaps, *_latency(side.latency))


def _latency(found: Percentiles | None) -> tuple[str, str, str]:
    if found is None:
        return NONE, NONE, NONE
    return f"{found.p50:.1f}", f"{found.p99:.1f}", f"{found.p999:.1f}"


def _messages(figures: tuple[WayFigure, ...]) -> Table:
    table = plain_table("Messages, and how long both connections took to move, ms")
    table.add_column("way")
    for column in ("sent", "lost", "stored twice", "redelivered", "given up", "repeated", "move"):
        table.add_column(column, justify="right")
    for figure in figures:
        twice = (figure.doubled, figure.redelivered)
        counts = (figure.sent, figure.lost, *twice, figure.failed, figure.repeated)
        table.add_row(figure.way, *(f"{n:,}" for n in counts), spread_text(figure.move_ms))
    return table
