"""``revoke`` and ``unrevoke``: takes everything from a service, and lets it back in."""

from typing import Annotated

import typer

from console.options import VAR, Json, Url, Var

Service = Annotated[str, typer.Argument(help="The service.", metavar="SERVICE")]


def revoke(service: Service, var: Var = VAR, url: Url = "", json: Json = False) -> None:
    """Take everything from a service at once: NATS user, keys, identities, secret-ids, tokens.

    Exit codes: 0 done and verified, 1 refused or not verified everywhere, 2 it cannot be asked for
    as told.
    """
    from console.interrupts import run_command
    from console.operator import Order, give_order
    from svc_core.domain.operator_command import REVOKE

    order = Order(REVOKE, {"service": service}, root=var, url=url, as_json=json)
    raise typer.Exit(run_command(lambda: give_order(order)))


def unrevoke(service: Service, var: Var = VAR, url: Url = "", json: Json = False) -> None:
    """Let a revoked service back in, under new identities and new credentials only.

    Exit codes: those of revoke.
    """
    from console.interrupts import run_command
    from console.operator import Order, give_order
    from svc_core.domain.operator_command import UNREVOKE

    order = Order(UNREVOKE, {"service": service}, root=var, url=url, as_json=json)
    raise typer.Exit(run_command(lambda: give_order(order)))
