"""``plan``: says what happens next, or what a change would do, and does none of it."""

from pathlib import Path
from typing import Annotated

import typer

from console.options import VAR, Json, Url, Var

app = typer.Typer(
    help="Say what happens next, or what a change would do, without doing it.",
    invoke_without_command=True,
)


@app.callback()
def plan(
    context: typer.Context,
    var: Var = VAR,
    url: Url = "",
    json: Json = False,
) -> None:
    """Say what happens next to the CA and its root, when, and who is waited for; nothing is done.

    Exit codes: 0 it was said, 2 there is nobody to ask. The commands below say what a change would
    do.
    """
    if context.invoked_subcommand is None:
        _show(var, url, json, "foreseen")


@app.command()
def ca(
    var: Var = VAR,
    url: Url = "",
    json: Json = False,
) -> None:
    """Say what `rotate ca` would do now.

    Exit codes: those of plan.
    """
    _show(var, url, json, "if_ordered")


@app.command()
def root(
    var: Var = VAR,
    url: Url = "",
    json: Json = False,
) -> None:
    """Say what `rotate root` would do now, to the end of the former root.

    Exit codes: those of plan.
    """
    _show(var, url, json, "if_root_ordered")


def _show(var: Path, url: str, json: bool, asked: str) -> None:
    from console.interrupts import run_command
    from console.outlook import Asked, OutlookOptions, plan_rotation

    options = OutlookOptions(var, url, Asked(asked), as_json=json)
    raise typer.Exit(run_command(lambda: plan_rotation(options)))


@app.command()
def acl(
    file: Annotated[Path, typer.Argument(help="The ACL manifest as it would be.", metavar="FILE")],
    against: Annotated[
        Path | None,
        typer.Option(
            help="The manifest in force; without it, that of the running stack.", metavar="FILE"
        ),
    ] = None,
    var: Var = VAR,
    json: Json = False,
) -> None:
    """Say what another ACL manifest would change: permissions, keys, bundles, NATS servers.

    Exit codes: 0 the manifest is valid, whether or not it changes anything; 2 it has errors (each
    with line and column), or there is nothing to compare it with.
    """
    from console.acl_plan import PlanOptions, plan_acl
    from console.interrupts import run_command

    options = PlanOptions(file, against, var, as_json=json)
    raise typer.Exit(run_command(lambda: plan_acl(options)))
