"""Options that several benchmarks have."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from svc_core.crypto.algorithms import Algorithm

Signing = Annotated[
    str,
    typer.Option("--algorithm", help="What messages are signed with: ML-DSA-44, -65 or -87."),
]


def known_algorithm(name: str) -> "Algorithm":
    """Return the algorithm of that name.

    Raises:
        typer.BadParameter: there is none.
    """
    from svc_core.crypto.algorithms import Algorithm

    if name not in list(Algorithm):
        raise typer.BadParameter(f"use one of {', '.join(Algorithm)}", param_hint="--algorithm")
    return Algorithm(name)
