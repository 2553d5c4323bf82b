"""``bench authority``: what rights, keys and bundles cost the authority, also at scale."""

from typing import Annotated

import typer

from console.bench_amounts import FULL
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
    repeats: Repeats = FULL.epochs,
    topics: Topics = FULL.topics,
    services: Services = FULL.services,
    consumers: Consumers = FULL.consumers,
    json: BesideTables = False,
) -> None:
    """Measure the authority with the shipped manifest and with one of many topics and services.

    Starts an OpenBao of its own. Targets are reported as met or missed and do not change the exit
    code: a busy machine is no failure. Exit codes: 0 measured, 1 failed, 130 or 143 on a signal.
    """
    from console import bench_parts
    from console.bench_part import run_part

    if topics and (topics < services or services <= consumers):
        raise typer.BadParameter("every service needs a topic, and there are too few services")
    scale = bench_parts.Scale(topics, services, consumers)
    run_part(bench_parts.authority(repeats, scale), as_json=json)
