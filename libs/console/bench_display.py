"""A benchmark for people: its progress on standard error, its report as tables."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from benchmarks.report import BenchReport, Figure, LoadFigure, Percentiles
from console.bench_tables import (
    NONE,
    header,
    plain_table,
    spread_text,
    targets_table,
)

_US_PER_MS: Final = 1000


@contextmanager
def open_progress() -> Iterator[Callable[[str, float], None]]:
    """Yield what shows how far a benchmark is: a bar on a terminal, else a line per step."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console).show
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # Drawn only when something moved: a thread that draws would be measured too.
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("starting", total=1.0)

        def show(text: str, share: float) -> None:
            bar.update(task, description=text, completed=share, refresh=True)

        yield show


class _Lines:
    """Prints a line whenever the text changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""

    def show(self, text: str, share: float) -> None:
        if text != self._last:
            self._last = text
            self._console.print(f"{share:4.0%} {text}", markup=False, highlight=False)


def report_tables(report: BenchReport) -> Group:
    """Return where it was measured, the figures, the loads and the targets."""
    parts: list[RenderableType] = [_header(report), _figures(report.figures)]
    if report.loads:
        parts.append(_loads(report.loads, report.loads_title))
    if report.targets:
        parts.append(targets_table(report.targets))
    parts += [Text(note, style="dim") for note in report.notes]
    return Group(*parts)


def _header(report: BenchReport) -> Text:
    plan = report.plan
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    taken = f"{plan.repeats} repeats of {plan.seconds:g} s in slices of {plan.slice_seconds:g} s"
    return header(report.machine, report.versions, f"{settings}; {taken}")


def _figures(figures: tuple[Figure, ...]) -> Table:
    table = plain_table("Rates: median ± half the span from the 10th to the 90th percentile")
    bases = dict.fromkeys(figure.base for figure in figures if figure.to_base)
    has_costs = any(figure.cost for figure in figures)
    has_cores = any(figure.busy for figure in figures)
    table.add_column("what")
    table.add_column("by" if has_costs else "on")
    last = ["costs references"] * has_costs + ["cores busy"] * has_cores
    for column in ("per second", "each", f"times {' or '.join(bases)}", *last):
        table.add_column(column, justify="right")
    for figure in figures:
        cells = [spread_text(figure.rate, ",.0f"), _micros(figure.each_us)]
        cells += [spread_text(figure.to_base, ".2f")]
        cells += [spread_text(figure.cost, ".2f")] * has_costs
        cells += [spread_text(figure.busy, ".2f")] * has_cores
        table.add_row(figure.name, figure.where, *cells)
    return table


def _loads(loads: tuple[LoadFigure, ...], title: str) -> Table:
    table = plain_table(title)
    table.add_column("offered")
    columns = ("per second", "done", "refused", "at once", "p50", "p99", "max")
    for column in (*columns, "lag p50", "lag p99.9"):
        table.add_column(column, justify="right")
    for load in loads:
        p50, most = _ends(load.latency)
        numbers = [f"{n:,.0f}" for n in (load.offered, load.done, load.refused, load.peak)]
        p99, lag_p999 = spread_text(load.p99, ".1f"), spread_text(load.lag_p999, ".1f")
        table.add_row(load.name, *numbers, p50, p99, most, _ends(load.lag)[0], lag_p999)
    return table


def _ends(found: Percentiles | None) -> tuple[str, str]:
    if found is None:
        return NONE, NONE
    return f"{found.p50:.1f}", f"{found.most:.1f}"


def _micros(value: float) -> str:
    return f"{value / _US_PER_MS:.2f} ms" if value >= _US_PER_MS else f"{value:.1f} us"
