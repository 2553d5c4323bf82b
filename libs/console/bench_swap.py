"""``bench swap``: what a stream of messages notices of a rotation."""

from typing import Annotated

import typer

from console.bench_amounts import FULL
from console.options import BesideTables

Swaps = Annotated[int, typer.Option(min=1, max=1000, help="Swaps of each way of moving.")]
Rate = Annotated[float, typer.Option(min=1, max=20_000, help="Messages per second.")]
Seconds = Annotated[
    float, typer.Option(min=0.1, max=60, help="Least length of a window, with and without a swap.")
]
Only = Annotated[bool, typer.Option("--only-swap", help="Leave out the client library's own ways.")]


def swap(
    swaps: Swaps = FULL.swaps,
    rate: Rate = FULL.swap_rate,
    seconds: Seconds = FULL.window_s,
    only_swap: Only = False,
    json: BesideTables = False,
) -> None:
    """Replace certificates and trust under a steady stream and compare with the same undisturbed.

    Starts three NATS servers with mutual TLS of its own. Beside our way of moving a connection it
    measures the two that the client library has. Targets are reported as met or missed and do not
    change the exit code. Exit codes: 0 measured, 1 failed, 130 or 143 on a signal.
    """
    from benchmarks.swap_place import Way
    from benchmarks.swap_report import SwapPlan
    from console import bench_parts
    from console.bench_part import run_part

    plan = SwapPlan(swaps, rate, seconds, (Way.SWAP,) if only_swap else tuple(Way))
    run_part(bench_parts.swap(plan), as_json=json)
