"""The report of a soak: one JSON document, and tables for people."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.machine import Machine
from console.soak_outcome import END_TO_END_MS, RotationsOutcome
from console.soak_sections import SectionResult
from console.soak_trends import LEAST_SAMPLES, SETTLED_AFTER, Trend
from console.verdict_table import verdict_table

_MIB: Final = 1 << 20
_GROWING_KINDS: Final = frozenset({"memory", "bytes"})
_PRINTED_KINDS: Final = frozenset(
    {"issuers", "keys", "memory", "descriptors", "tokens", "bytes", "processor"}
)


@dataclass(frozen=True, slots=True)
class SoakReport:
    """Everything a soak found out."""

    began_at: datetime
    ended_at: datetime
    seed: int
    """Draws the cases of the sections that draw."""
    machine: Machine
    versions: Mapping[str, str]
    rotations: RotationsOutcome | None
    """None when the section was not asked for."""
    sections: Sequence[SectionResult] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """What speaks against it, section by section; empty when everything held."""
        rotations = self.rotations.reasons if self.rotations else ()
        found = [f"rotations: {reason}" for reason in rotations]
        found += [f"{s.name}: {s.reason}" for s in self.sections if not s.is_good]
        return tuple(found)

    def as_document(self) -> dict[str, object]:
        """Return the report as JSON-shaped data."""
        return {
            "good": not self.reasons,
            "reasons": list(self.reasons),
            "began_at": self.began_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "seed": self.seed,
            "machine": asdict(self.machine),
            "versions": {"python": platform.python_version()} | dict(self.versions),
            "rotations": self.rotations.as_document() if self.rotations else None,
            "sections": [asdict(s) | {"good": s.is_good} for s in self.sections],
        }


def write_report(path: Path, report: SoakReport) -> None:
    """Write the document to ``path``; it holds no secret."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report.as_document(), indent=2) + "\n", encoding="utf-8")


def print_soak(console: Console, report: SoakReport) -> None:
    """Print the report for people."""
    parts: list[RenderableType] = []
    if report.rotations is not None:
        parts += [
            verdict_table(report.rotations.verdict),
            _rotations_table(report.rotations),
            _trends_table(report.rotations),
        ]
    if report.sections:
        parts.append(_sections_table(report.sections))
    parts.append(_conclusion(report))
    console.print(Group(*parts))


def _rotations_table(outcome: RotationsOutcome) -> Table:
    document = outcome.as_document()
    times = document["end_to_end_ms"]
    table = Table(title="Rotations", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right")
    if isinstance(times, Mapping):
        for name in ("p50", "p95", "max"):
            limit = f" (at most {END_TO_END_MS:g} ms)" if name == "p95" else ""
            table.add_row(f"end to end {name}{limit}", _ms(times[name]))
    table.add_row("failed handshakes and connections", str(outcome.refusals.total))
    just_ended = sum(outcome.refusals.mid_reload.values())
    table.add_row("complaints of reloads about connections just ended", str(just_ended))
    if outcome.light is not None:
        light = outcome.light
        table.add_row("light clients connected", f"{light.connected} of {light.count}")
        table.add_row("their connections replaced", str(light.swaps))
        table.add_row("their connections lost", str(light.losses))
        table.add_row("their connections that could not be made", str(light.failures))
    return table


def _trends_table(outcome: RotationsOutcome) -> Table:
    count = len(outcome.sampling.figures)
    judged = count >= LEAST_SAMPLES
    title = (
        f"From rotation {SETTLED_AFTER} to {count}"
        if judged
        else f"Over {count} rotations; growth is judged from {LEAST_SAMPLES} on"
    )
    table = Table("figure", "first", "last", "growth", "allowed", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for trend in outcome.trends:
        if not trend.is_flat or trend.name.partition("/")[0] in _PRINTED_KINDS:
            table.add_row(*_cells(trend))
    return table


def _cells(trend: Trend) -> tuple[Text, ...]:
    unit = _MIB if trend.name.partition("/")[0] in _GROWING_KINDS else 1
    numbers = (trend.first, trend.last, trend.growth, trend.allowed)
    texts = ["-" if n is None else _number(n / unit, unit) for n in numbers]
    style = "" if trend.is_flat else "bold red"
    return tuple(Text(text, style=style) for text in (trend.name, *texts))


def _number(value: float, unit: int) -> str:
    return f"{value:.1f} MiB" if unit == _MIB else f"{value:g}"


def _sections_table(sections: Sequence[SectionResult]) -> Table:
    table = Table("section", "result", "passed", "skipped", "failed", "took")
    for section in sections:
        style = "green" if section.is_good else "bold red"
        table.add_row(
            section.name,
            Text("held" if section.is_good else section.reason, style=style),
            *map(str, (section.passed, section.skipped, section.failed)),
            f"{section.took_s:.0f} s",
        )
    return table


def _conclusion(report: SoakReport) -> RenderableType:
    took = (report.ended_at - report.began_at).total_seconds() / 60
    where = f"{report.machine.cpu}, {len(report.machine.cpus)} processors, seed {report.seed}"
    facts = Text(f"{took:.1f} min on {where}", style="dim")
    if not report.reasons:
        return Group(facts, Text("everything held", style="bold green"))
    failed = (Text(f"failed: {reason}", style="bold red") for reason in report.reasons)
    return Group(facts, *failed)


def _ms(value: object) -> str:
    return "-" if value is None else f"{value:.0f} ms" if isinstance(value, float) else str(value)
