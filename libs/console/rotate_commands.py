"""``rotate``: changes ahead of time what changes by itself."""

import typer

from console.options import VAR, Json, Url, Var

app = typer.Typer(help="Change ahead of time what changes by itself.", no_args_is_help=True)


@app.callback()
def rotate() -> None:
    """Change ahead of time what changes by itself."""


@app.command()
def ca(
    var: Var = VAR,
    url: Url = "",
    json: Json = False,
) -> None:
    """Have another issuer made now, which signs as soon as everybody trusts it.

    The boundaries of the schedule stay where they are. Exit codes: 0 it signs, 1 it was refused or
    somebody is waited for, 2 it cannot be asked for as told.
    """
    from console.interrupts import run_command
    from console.operator import Order, give_order
    from svc_core.domain.operator_command import ROTATE_CA

    order = Order(ROTATE_CA, {}, root=var, url=url, as_json=json)
    raise typer.Exit(run_command(lambda: give_order(order)))


@app.command()
def keys(
    var: Var = VAR,
    url: Url = "",
    json: Json = False,
) -> None:
    """Give every topic another key now; what was sealed with the former ones still opens.

    Exit codes: 0 every live service has adopted them, 1 not, 2 it cannot be asked for as told.
    """
    from console.interrupts import run_command
    from console.operator import Order, give_order
    from svc_core.domain.operator_command import ROTATE_KEYS

    order = Order(ROTATE_KEYS, {}, root=var, url=url, as_json=json)
    raise typer.Exit(run_command(lambda: give_order(order)))


@app.command()
def root(
    var: Var = VAR,
    url: Url = "",
    json: Json = False,
) -> None:
    """Have another root made, trusted and used for the next issuer; the former one is put away.

    Exit codes: 0 taken over by the authority, 1 refused, 2 it cannot be asked for as told.
    """
    from console.interrupts import run_command
    from console.operator import Order, give_order
    from svc_core.domain.operator_command import ROTATE_ROOT

    order = Order(ROTATE_ROOT, {}, root=var, url=url, as_json=json)
    raise typer.Exit(run_command(lambda: give_order(order)))
