"""``audit``: verifies the authority's audit log, and shows it."""

from typing import Annotated

import typer

from console.options import VAR, Json, Var

app = typer.Typer(
    help="Verify or show what the authority wrote down about its own doings.",
    no_args_is_help=True,
)

Url = Annotated[
    str, typer.Option("--openbao", help="Address of OpenBao, if not that of the stack.")
]


@app.callback()
def audit() -> None:
    """Verify or show what the authority wrote down about its own doings."""


@app.command()
def verify(var: Var = VAR, openbao: Url = "", json: Json = False) -> None:
    """Check every entry, link and signature, and name the first bad entry.

    Exit codes: 0 the log is as it was written, 1 it is not, or it cannot be read, 2 there is no
    stack or nothing to verify with.
    """
    from console.audit_log import verify_log
    from console.interrupts import run_command

    raise typer.Exit(run_command(lambda: verify_log(var, url=openbao, as_json=json)))


@app.command()
def show(
    var: Var = VAR,
    openbao: Url = "",
    last: Annotated[int, typer.Option(min=1, help="How many of the newest entries.")] = 40,
    json: Json = False,
) -> None:
    """Show the newest entries, oldest first; it does not verify them."""
    from console.audit_log import show_log
    from console.interrupts import run_command

    raise typer.Exit(run_command(lambda: show_log(var, url=openbao, last=last, as_json=json)))
