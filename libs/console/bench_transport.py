"""``bench transport``: what an exchange over NATS costs beside nats-py alone."""

from typing import Annotated

import typer

from console.bench_amounts import FULL
from console.bench_options import Signing, known_algorithm
from console.options import BesideTables


def transport(
    seconds: Annotated[
        float, typer.Option(min=0.01, help="How long each case and each load lasts in a repeat.")
    ] = FULL.transport_s,
    repeats: Annotated[
        int, typer.Option(min=1, max=1000, help="How often; the spread is over the repeats.")
    ] = FULL.repeats,
    rate: Annotated[
        float, typer.Option(min=1, help="Exchanges per second of the timetable.")
    ] = FULL.exchanges,
    algorithm: Signing = "ML-DSA-65",
    json: BesideTables = False,
) -> None:
    """Measure sealed requests and answers over NATS beside nats-py alone, and judge the targets.

    With and without TLS, on uvloop and on asyncio. Targets are reported as met or missed and do
    not change the exit code: a busy machine is no failure. Exit codes: 0 measured, 1 failed, 130 or
    143 on a signal.
    """
    from console import bench_parts
    from console.bench_part import run_part

    run_part(
        bench_parts.transport(seconds, repeats, rate, known_algorithm(algorithm)), as_json=json
    )
