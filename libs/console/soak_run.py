"""A soak from its first section to its report."""

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.machine import describe_machine
from console.displays import open_display
from console.soak_outcome import RotationsOptions, RotationsOutcome
from console.soak_report import SoakReport, print_soak, write_report
from console.soak_rotations import soak_rotations
from console.soak_sections import SECTIONS, SectionResult, run_section
from console.versions import collect_versions


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """What ``soak`` was asked for."""

    var: Path
    """Directory of everything it makes."""
    sections: tuple[str, ...]
    """Names of those to run; ``rotations`` and those of `console.soak_sections`."""
    rotations: int
    clients: int
    rate: float
    """Requests per second."""
    seed: int
    workers: int
    """Cases of a section that run at a time."""
    report: Path
    """Where the JSON goes."""
    as_json: bool
    base_port: int | None = None


async def run_soak(options: SoakOptions) -> int:
    """Run every section that was asked for, write the report and print it.

    The report is written after each section, so that an interrupted soak leaves what it has.

    Returns:
        0 when everything held, else 1.

    Raises:
        ConfigError: it cannot start as asked.
        StackStartError: a part did not become ready.
    """
    began_at, machine = datetime.now(UTC), describe_machine()
    versions = await collect_versions()
    rotations: RotationsOutcome | None = None
    results: list[SectionResult] = []

    def report() -> SoakReport:
        ended_at = datetime.now(UTC)
        return SoakReport(
            began_at, ended_at, options.seed, machine, versions, rotations, tuple(results)
        )

    with open_display(Console(stderr=True)) as display:
        if "rotations" in options.sections:
            rotations = await soak_rotations(_rotations_options(options), display)
            write_report(options.report, report())
        for section in SECTIONS:
            if section.name in options.sections:
                result = await run_section(
                    section,
                    folder=options.var / "sections",
                    seed=options.seed,
                    workers=options.workers,
                    note=display.note,
                )
                results.append(result)
                write_report(options.report, report())
    found = report()
    write_report(options.report, found)
    _tell(found, as_json=options.as_json)
    return 1 if found.reasons else 0


def _rotations_options(options: SoakOptions) -> RotationsOptions:
    return RotationsOptions(
        root=options.var / "stack",
        rotations=options.rotations,
        clients=options.clients,
        rate=options.rate,
        base_port=options.base_port,
    )


def _tell(report: SoakReport, *, as_json: bool) -> None:
    print_soak(Console(stderr=as_json), report)
    if as_json:
        sys.stdout.write(json.dumps(report.as_document(), indent=2) + "\n")
        sys.stdout.flush()
