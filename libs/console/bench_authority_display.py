"""What ``bench authority`` found, for people."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.authority_report import AuthorityReport, ShapeFigure, StepFigure, idle_lag
from console.bench_tables import header, plain_table, spread_text, targets_table


def authority_tables(report: AuthorityReport) -> Group:
    """Return where it was measured, each shape's steps and sizes, and the targets."""
    parts: list[RenderableType] = [_header(report)]
    shipped = report.shapes[0]
    for shape in report.shapes:
        parts += [_steps(shape, shipped), _sizes(shape), _notes(shape)]
    parts.append(targets_table(report.targets, "Targets of the authority"))
    return Group(*parts)


def _header(report: AuthorityReport) -> Text:
    plan = f"{report.repeats} key epochs, one authority with the lease, one OpenBao, no broker"
    return header(report.machine, report.versions, plan)


def _steps(shape: ShapeFigure, shipped: ShapeFigure) -> Table:
    table = plain_table(f"Steps of an epoch, ms: {shape.shape}")
    table.add_column("what")
    columns = ["times", "median", "p99", "most", "processor", "longest turn", "lag"]
    if shape is not shipped:
        columns.append("times the shipped")
    for column in columns:
        table.add_column(column, justify="right")
    for figure in shape.steps:
        cells = [str(figure.count), spread_text(figure.median, ",.1f")]
        cells += [f"{figure.each.p99:,.1f}", f"{figure.each.most:,.1f}"]
        cells += [
            spread_text(figure.cpu, ",.1f"),
            spread_text(figure.turn, ",.1f"),
            spread_text(figure.lag, ",.1f"),
        ]
        if shape is not shipped:
            cells.append(_ratio(figure, shipped))
        table.add_row(figure.step, *cells)
    return table


def _ratio(figure: StepFigure, shipped: ShapeFigure) -> str:
    return f"{figure.median.median / shipped.step(figure.step).median.median:,.1f}"


def _sizes(shape: ShapeFigure) -> Table:
    table = plain_table("Sizes, bytes")
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
