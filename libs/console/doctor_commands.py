"""``doctor``: tries everything that must be refused on every listener of a live deployment."""

from pathlib import Path
from typing import Annotated

import typer

from console.options import VAR, Json, Var

Admin = Annotated[
    list[str] | None,
    typer.Option(help="One more admin listener that somebody else runs.", metavar="NAME=HOST:PORT"),
]
Nats = Annotated[
    list[str] | None,
    typer.Option(help="One more NATS server that somebody else runs.", metavar="NAME=HOST:PORT"),
]
Trust = Annotated[
    Path | None, typer.Option(help="PEM file of the trusted intermediates.", metavar="FILE")
]
Show = Annotated[
    list[str] | None,
    typer.Option(
        help="Directory with cert.pem and key.pem. KIND is good, reader, stranger, server, "
        "expired or not-yet-valid.",
        metavar="KIND=DIR",
    ),
]


def doctor(
    admin: Admin = None,
    nats: Nats = None,
    trust: Trust = None,
    show: Show = None,
    var: Var = VAR,
    json: Json = False,
) -> None:
    """Try on every listener what must be refused, each between two requests that must be served.

    Without --admin and --nats it examines the stack of this machine.

    Exit codes: 0 all that was tried came out as expected, 1 something was accepted that should not
    be or proves nothing, 2 it cannot be tried as told.
    """
    from console.doctor import DoctorOptions, examine_all
    from console.interrupts import run_command

    options = DoctorOptions(
        admin=tuple(admin or ()),
        nats=tuple(nats or ()),
        trust=trust,
        show=tuple(show or ()),
        root=var,
        as_json=json,
    )
    raise typer.Exit(run_command(lambda: examine_all(options)))
