"""``plan``: says what a change would do, and does none of it."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Say what a change would do, without doing it.", no_args_is_help=True)

_VAR = Path("var")


@app.callback()
def plan() -> None:
    """Say what a change would do, without doing it."""


@app.command()
def acl(
    file: Annotated[Path, typer.Argument(help="The ACL manifest as it would be.", metavar="FILE")],
    against: Annotated[
        Path | None,
        typer.Option(
            help="The manifest in force; without it, that of the running stack.", metavar="FILE"
        ),
    ] = None,
    var: Annotated[
        Path, typer.Option("--var", help="Directory of the stack.", metavar="DIR")
    ] = _VAR,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Say what another ACL manifest would change: permissions, keys, bundles, NATS servers.

    Exit codes: 0 the manifest is valid, whether or not it changes anything; 2 it has errors (each
    with line and column), or there is nothing to compare it with.
    """
    from console.acl_plan import PlanOptions, plan_acl
    from console.interrupts import run_command

    options = PlanOptions(file, against, var, as_json=json)
    raise typer.Exit(run_command(lambda: plan_acl(options)))
