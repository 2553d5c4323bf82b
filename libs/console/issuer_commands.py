"""``taint`` and ``rollback``: distrusts an issuer, and goes back to the one before."""

from typing import Annotated

import typer

from console.options import VAR, Json, Url, Var

Issuer = Annotated[str, typer.Argument(help="The issuer, such as ca-58912408-1.", metavar="ISSUER")]


def taint(issuer: Issuer, var: Var = VAR, url: Url = "", json: Json = False) -> None:
    """Distrust an issuer: it signs nothing from now on, and leaves the trusted set.

    Exit codes: 0 taken over by the authority, 1 refused, 2 it cannot be asked for as told.
    """
    from console.interrupts import run_command
    from console.operator import Order, give_order
    from svc_core.domain.operator_command import TAINT

    order = Order(TAINT, {"issuer": issuer}, root=var, url=url, as_json=json)
    raise typer.Exit(run_command(lambda: give_order(order)))


def rollback(var: Var = VAR, url: Url = "", json: Json = False) -> None:
    """Call the next issuer off, or go back from the active one to the one before.

    Exit codes: those of taint.
    """
    from console.interrupts import run_command
    from console.operator import Order, give_order
    from svc_core.domain.operator_command import ROLLBACK

    order = Order(ROLLBACK, {}, root=var, url=url, as_json=json)
    raise typer.Exit(run_command(lambda: give_order(order)))
