"""``provision``: sets up an OpenBao that a container engine or a cluster runs."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Set up an OpenBao that a container engine or a cluster runs.", no_args_is_help=True
)

Directory = Annotated[
    Path, typer.Option("--var", help="Directory of keys and credentials.", metavar="DIR")
]

Replicas = Annotated[
    int, typer.Option("--metadata-replicas", help="How many of Metadata there are.", min=1, max=9)
]

_VAR = Path("var")


@app.command()
def files(
    openbao_name: Annotated[
        list[str] | None, typer.Option(help="One more DNS name of OpenBao's listener.")
    ] = None,
    metadata_replicas: Replicas = 1,
    var: Directory = _VAR,
) -> None:
    """Make what must exist before OpenBao starts: certificates, keys, pinned identities."""
    from console.interrupts import run_command
    from devstack.layout import Layout
    from devstack.provision import now_utc, prepare_files

    async def make() -> int:
        names = openbao_name or ()
        prepare_files(
            Layout.at(var), openbao_names=names, now=now_utc(), replicas=metadata_replicas
        )
        typer.echo(f"files are in {var}")
        return 0

    raise typer.Exit(run_command(make))


@app.command()
def openbao(
    url: Annotated[str, typer.Option(help="https://host:port of OpenBao.")],
    profile: Annotated[str, typer.Option(help="Rotation profile.")] = "testing",
    nats_name: Annotated[
        list[str] | None, typer.Option(help="One more DNS name of a NATS server.")
    ] = None,
    admin_name: Annotated[
        list[str] | None,
        typer.Option(help="One more DNS name of a service's listener.", metavar="SERVICE=NAME"),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with a token that may do everything.")
    ] = None,
    keep_credentials: Annotated[
        bool, typer.Option("--keep-credentials", help="Issue only credentials that are missing.")
    ] = False,
    metadata_replicas: Replicas = 1,
    var: Directory = _VAR,
) -> None:
    """Initialise OpenBao once, set it up, and leave every service's credentials."""
    from console.interrupts import run_command
    from devstack.layout import Layout
    from devstack.provision import ProvisionOptions, provision

    options = ProvisionOptions(
        layout=Layout.at(var),
        url=url,
        profile=_known(profile),
        nats_names=tuple(nats_name or ()),
        admin_names=_by_service(admin_name or []),
        token_file=token_file,
        keeps_credentials=keep_credentials,
        metadata_replicas=metadata_replicas,
    )

    async def set_up() -> int:
        changed = await provision(options)
        typer.echo("OpenBao is set up" if changed else "OpenBao was set up already")
        return 0

    raise typer.Exit(run_command(set_up))


def _known(profile: str) -> str:
    from svc_core.domain.profiles import PROFILES

    if profile not in PROFILES:
        raise typer.BadParameter(f"--profile must be one of {', '.join(sorted(PROFILES))}")
    return profile


def _by_service(pairs: list[str]) -> dict[str, tuple[str, ...]]:
    from devstack.layout import SERVICES

    names: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        service, _, name = pair.partition("=")
        if service not in SERVICES or not name:
            raise typer.BadParameter(f"--admin-name wants SERVICE=NAME, not {pair!r}")
        names[service] = (*names.get(service, ()), name)
    return names
