"""``bench``: what cryptography and messages cost on this machine."""

from typing import Annotated

import typer

from console.bench_authority import authority
from console.bench_swap import swap
from console.bench_transport import transport
from console.options import BesideTables

app = typer.Typer(
    help="Measure what cryptography and messages cost on this machine, in ratios.",
    no_args_is_help=True,
)

Repeats = Annotated[
    int, typer.Option(min=1, max=1000, help="How often; the spread is over the repeats.")
]


@app.command()
def crypto(
    seconds: Annotated[
        float, typer.Option(min=0.001, help="How long each call is measured in a repeat.")
    ] = 0.2,
    repeats: Repeats = 5,
    json: BesideTables = False,
) -> None:
    """Measure every primitive through this project's functions and through the library alone.

    Exit codes: 0 measured, 1 failed, 130 or 143 on a signal.
    """
    from benchmarks.crypto import SLICE_S, bench_crypto
    from benchmarks.rounds import Plan
    from console.bench_display import open_progress, report_to
    from console.interrupts import run_command

    plan = Plan(seconds, repeats, SLICE_S)

    async def measure() -> int:
        with open_progress() as progress:
            report = await bench_crypto(plan, progress)
        report_to(report, as_json=json)
        return 0

    raise typer.Exit(run_command(measure))


@app.command()
def messages(
    seconds: Annotated[
        float, typer.Option(min=0.01, help="How long each rate and each load lasts in a repeat.")
    ] = 1.0,
    repeats: Repeats = 5,
    algorithm: Annotated[
        str, typer.Option(help="What messages are signed with: ML-DSA-44, -65 or -87.")
    ] = "ML-DSA-65",
    json: BesideTables = False,
) -> None:
    """Measure how many messages are sealed and opened, how late they are, and judge the targets.

    Targets are reported as met or missed and do not change the exit code: a busy machine is no
    failure. Exit codes: 0 measured, 1 failed, 130 or 143 on a signal.
    """
    from benchmarks.messages import SLICE_S, bench_messages
    from benchmarks.rounds import Plan
    from console.bench_display import open_progress, report_to
    from console.interrupts import run_command
    from svc_core.crypto.algorithms import Algorithm

    if algorithm not in list(Algorithm):
        raise typer.BadParameter(f"use one of {', '.join(Algorithm)}", param_hint="--algorithm")
    plan = Plan(seconds, repeats, SLICE_S)

    async def measure() -> int:
        with open_progress() as progress:
            report = await bench_messages(plan, Algorithm(algorithm), progress)
        report_to(report, as_json=json)
        return 0

    raise typer.Exit(run_command(measure))


app.command()(transport)
app.command()(swap)
app.command()(authority)
