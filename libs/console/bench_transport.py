"""``bench transport``: what an exchange over NATS costs beside nats-py alone."""

from typing import Annotated

import typer

from console.options import BesideTables


def transport(
    seconds: Annotated[
        float, typer.Option(min=0.01, help="How long each case and each load lasts in a repeat.")
    ] = 2.0,
    repeats: Annotated[
        int, typer.Option(min=1, max=1000, help="How often; the spread is over the repeats.")
    ] = 5,
    rate: Annotated[
        float, typer.Option(min=1, help="Exchanges per second of the timetable.")
    ] = 300.0,
    algorithm: Annotated[
        str, typer.Option(help="What messages are signed with: ML-DSA-44, -65 or -87.")
    ] = "ML-DSA-65",
    json: BesideTables = False,
) -> None:
    """Measure sealed requests and answers over NATS beside nats-py alone, and judge the targets.

    With and without TLS, on uvloop and on asyncio. Targets are reported as met or missed and do
    not change the exit code: a busy machine is no failure. Exit codes: 0 measured, 1 failed, 130 or
    143 on a signal.
    """
    from benchmarks.rounds import Plan
    from benchmarks.transport import SLICE_S, TransportOrder, bench_transport
    from console.bench_display import open_progress, report_to
    from console.bench_servers import open_bench_servers
    from console.interrupts import run_command
    from svc_core.crypto.algorithms import Algorithm

    if algorithm not in list(Algorithm):
        raise typer.BadParameter(f"use one of {', '.join(Algorithm)}", param_hint="--algorithm")
    plan = Plan(seconds, repeats, SLICE_S)

    async def measure() -> int:
        async with open_bench_servers() as servers:
            order = TransportOrder(servers.plain, servers.secure, Algorithm(algorithm), rate)
            with open_progress() as progress:
                report = await bench_transport(plan, order, progress)
        report_to(report, as_json=json)
        return 0

    raise typer.Exit(run_command(measure))
