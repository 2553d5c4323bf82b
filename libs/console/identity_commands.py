"""``identities``: which keys Metadata signs with, in a list that only the operator signs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.options import VAR, Json, Var

if TYPE_CHECKING:
    from devstack.layout import Layout
    from svc_core.wire.identities import SignedIdentities

app = typer.Typer(
    help="Say which identities Metadata signs with, in the operator-signed list.",
    no_args_is_help=True,
)

Instance = Annotated[str, typer.Argument(help="The identity, as metadata-2.", metavar="INSTANCE")]


@app.command("list")
def show(var: Var = VAR, json: Json = False) -> None:
    """Show who signs for Metadata, and who did once.

    Exit codes: 0 shown, 2 there is no list of this operator.
    """
    from devstack.identities import read_list

    _run(read_list, var, as_json=json)


@app.command()
def add(
    instance: Instance,
    replica: Annotated[
        str,
        typer.Option(
            help="Replica that has it from its next start; else one called like it.",
            metavar="DIRECTORY",
        ),
    ] = "",
    var: Var = VAR,
    json: Json = False,
) -> None:
    """Make an identity for a replica of Metadata and sign a list that names it, too.

    Exit codes: 0 the list is written; 2 it is not: the name was used before, or there is no list.
    """
    from devstack.identities import add_identity

    _run(lambda layout: add_identity(layout, instance, replica=replica), var, as_json=json)


@app.command()
def remove(instance: Instance, var: Var = VAR, json: Json = False) -> None:
    """Sign a list without one identity: what it signs is refused wherever that list is read.

    Exit codes: 0 the list is written; 2 it is not: nobody, or nobody else, has that name.
    """
    from devstack.identities import remove_identity

    _run(lambda layout: remove_identity(layout, instance), var, as_json=json)


def _run(read: "Callable[[Layout], SignedIdentities]", var: Path, *, as_json: bool) -> None:
    from console.identity_display import print_list
    from console.interrupts import run_command
    from devstack.layout import Layout

    async def run() -> int:
        print_list(read(Layout.at(var)), as_json=as_json)
        return 0

    raise typer.Exit(run_command(run))
