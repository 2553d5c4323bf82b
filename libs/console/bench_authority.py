"""``bench authority``: what rights, keys and bundles cost the authority, also at scale."""

from dataclasses import replace
from typing import Annotated

import typer

from console.options import BesideTables

Repeats = Annotated[
    int, typer.Option(min=1, max=100, help="Key epochs measured; the spread is over these.")
]
Topics = Annotated[
    int, typer.Option(min=0, max=100_000, help="Topics of the manifest at scale; 0: leave it out.")
]
Services = Annotated[int, typer.Option(min=2, max=1000, help="Services of the manifest at scale.")]
Consumers = Annotated[int, typer.Option(min=1, max=100, help="Consumers of each of its topics.")]


def authority(
    repeats: Repeats = 3,
    topics: Topics = 10_000,
    services: Services = 200,
    consumers: Consumers = 2,
    json: BesideTables = False,
) -> None:
    """Measure the authority with the shipped manifest and with one of many topics and services.

    Starts an OpenBao of its own. Targets are reported as met or missed and do not change the exit
    code: a busy machine is no failure. Exit codes: 0 measured, 1 failed, 130 or 143 on a signal.
    """
    from benchmarks.authority_run import bench_authority
    from console.bench_authority_display import show_authority_report
    from console.bench_display import open_progress
    from console.bench_openbao import open_bench_openbao
    from console.interrupts import run_command

    if topics and (topics < services or services <= consumers):
        raise typer.BadParameter("every service needs a topic, and there are too few services")

    async def measure() -> int:
        with open_progress() as progress:
            progress("starting OpenBao", 0.0)
            async with open_bench_openbao() as shipped:
                orders = [shipped]
                if topics:
                    orders.append(
                        replace(shipped, topics=topics, services=services, consumers=consumers)
                    )
                report = await bench_authority(orders, repeats, progress)
        show_authority_report(report, as_json=json)
        return 0

    raise typer.Exit(run_command(measure))
