"""``soak``: everything that takes long, one report."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from console.options import BesideTables

_VAR: Final = Path("var") / "soak"
_SEED: Final = 20261


class SectionName(StrEnum):
    """What a soak consists of."""

    ROTATIONS = "rotations"
    CRASH_POINTS = "crash-points"
    BREAKS = "breaks"
    SLEEP = "sleep"
    SKEW = "skew"
    FAULT_PROXY = "fault-proxy"
    TRUST = "trust"
    KUBELET = "kubelet"


Sections = list[SectionName] | None


def soak(
    rotations: Annotated[
        int, typer.Option(min=1, max=10_000, help="CA rotations in a row, 20 s each.")
    ] = 100,
    clients: Annotated[
        int, typer.Option(min=0, max=400, help="Light clients beside the four services.")
    ] = 100,
    rate: Annotated[float, typer.Option(min=0.01, max=10_000, help="Requests per second.")] = 100,
    only: Annotated[Sections, typer.Option(help="Run this section; may be repeated.")] = None,
    skip: Annotated[Sections, typer.Option(help="Leave this section out; may be repeated.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Where the JSON goes; report.json below --var.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws what is drawn.")] = _SEED,
    workers: Annotated[
        int, typer.Option(min=1, max=16, help="Cases of a section at a time; two processors each.")
    ] = 1,
    var: Annotated[
        Path, typer.Option("--var", help="Directory of everything it makes.", metavar="DIR")
    ] = _VAR,
    json: BesideTables = False,
    base_port: Annotated[
        int | None,
        typer.Option(min=1024, max=65000, help="First of fourteen consecutive ports to use."),
    ] = None,
) -> None:
    """Rotate a hundred times under load, then break everything that can break; one report.

    Exit codes: 0 everything held, 1 something did not, 2 cannot start as asked, 130 or 143 on a
    signal.
    """
    from console.interrupts import run_command
    from console.soak_run import SoakOptions, run_soak

    chosen = [name for name in only or list(SectionName) if name not in (skip or ())]
    if not chosen:
        raise typer.BadParameter("nothing is left to run", param_hint="--skip")
    options = SoakOptions(
        var=var,
        sections=tuple(str(name) for name in chosen),
        rotations=rotations,
        clients=clients,
        rate=rate,
        seed=seed,
        workers=workers,
        report=report or var / "report.json",
        as_json=json,
        base_port=base_port,
    )
    raise typer.Exit(run_command(lambda: run_soak(options)))
