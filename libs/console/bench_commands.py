"""``bench``: what cryptography, messages, rotations and the authority cost on this machine."""

from typing import Annotated

import typer

from console.bench_all import everything
from console.bench_amounts import FULL
from console.bench_authority import authority
from console.bench_options import Signing, known_algorithm
from console.bench_swap import swap
from console.bench_transport import transport
from console.options import BesideTables

app = typer.Typer(
    help="Measure what cryptography, messages and rotations cost on this machine, in ratios.",
    no_args_is_help=True,
)

Repeats = Annotated[
    int, typer.Option(min=1, max=1000, help="How often; the spread is over the repeats.")
]


@app.command()
def crypto(
    seconds: Annotated[
        float, typer.Option(min=0.001, help="How long each call is measured in a repeat.")
    ] = FULL.crypto_s,
    repeats: Repeats = FULL.repeats,
    json: BesideTables = False,
) -> None:
    """Measure every primitive through this project's functions and through the library alone.

    Exit codes: 0 measured, 1 failed, 130 or 143 on a signal.
    """
    from console import bench_parts
    from console.bench_part import run_part

    run_part(bench_parts.crypto(seconds, repeats), as_json=json)


@app.command()
def messages(
    seconds: Annotated[
        float, typer.Option(min=0.01, help="How long each rate and each load lasts in a repeat.")
    ] = FULL.messages_s,
    repeats: Repeats = FULL.repeats,
    algorithm: Signing = "ML-DSA-65",
    json: BesideTables = False,
) -> None:
    """Measure how many messages are sealed and opened, how late they are, and judge the targets.

    Targets are reported as met or missed and do not change the exit code: a busy machine is no
    failure. Exit codes: 0 measured, 1 failed, 130 or 143 on a signal.
    """
    from console import bench_parts
    from console.bench_part import run_part

    measure = bench_parts.messages(seconds, repeats, known_algorithm(algorithm))
    run_part(measure, as_json=json)


app.command()(transport)
app.command()(swap)
app.command()(authority)
app.command("all")(everything)
