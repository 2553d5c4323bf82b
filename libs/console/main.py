"""Declares the commands; each imports what it needs when it runs, so that help is quick."""

from datetime import timedelta
from typing import Annotated

import typer

from console import (
    audit_commands,
    bench_commands,
    dead_letter_commands,
    doctor_commands,
    identity_commands,
    issuer_commands,
    plan_commands,
    provision_commands,
    revoke_commands,
    rotate_commands,
    soak_commands,
)
from console.options import VAR, Json, Var
from svc_core.domain.desired import TrustMode

app = typer.Typer(
    name="securetransport",
    help="Rotates certificates and keys all day long without anyone noticing, and proves it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(plan_commands.app, name="plan")
app.add_typer(provision_commands.app, name="provision")
app.add_typer(bench_commands.app, name="bench")
app.add_typer(audit_commands.app, name="audit")
app.add_typer(dead_letter_commands.app, name="dead-letters")
app.add_typer(rotate_commands.app, name="rotate")
app.add_typer(identity_commands.app, name="identities")

Profile = Annotated[
    str, typer.Option(help="Rotation profile: demo (20 s keys, 30 s CA), testing or production.")
]
BasePort = Annotated[
    int | None,
    typer.Option(min=1024, max=65000, help="First of fourteen consecutive ports to use."),
]
Rate = Annotated[float, typer.Option(min=0.01, max=10_000, help="Requests per second.")]


@app.command()
def demo(
    minutes: Annotated[float, typer.Option(min=0.05, help="How long the load lasts.")] = 3,
    rate: Rate = 100,
    profile: Profile = "demo",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running.")] = False,
    var: Var = VAR,
    json: Json = False,
    base_port: BasePort = None,
) -> None:
    """Start everything on this machine, rotate under load, and judge what happened.

    Exit codes: 0 nothing lost and every planned rotation completed, 1 otherwise, 2 cannot start as
    asked, 130 or 143 on a signal.
    """
    from console import load_commands
    from console.interrupts import run_command

    options = load_commands.DemoOptions(
        root=var,
        profile=profile,
        lasting=timedelta(minutes=minutes),
        rate=rate,
        keep=keep,
        as_json=json,
        base_port=base_port,
    )
    raise typer.Exit(run_command(lambda: load_commands.demo(options)))


@app.command()
def up(
    rate: Annotated[
        float, typer.Option(min=0, max=10_000, help="Requests per second; 0 for none.")
    ] = 0,
    profile: Profile = "demo",
    trust_mode: Annotated[
        TrustMode, typer.Option(help="What NATS servers trust; see the runbook on roots.")
    ] = TrustMode.INTERMEDIATES,
    metadata_replicas: Annotated[
        int, typer.Option(min=1, max=9, help="Processes of Metadata; one of them decides.")
    ] = 1,
    var: Var = VAR,
    base_port: BasePort = None,
) -> None:
    """Start everything on this machine and keep it running until Ctrl-C."""
    from console import stack_commands
    from console.interrupts import run_command

    options = stack_commands.UpOptions(var, profile, rate, base_port, trust_mode, metadata_replicas)
    raise typer.Exit(run_command(lambda: stack_commands.up(options)))


@app.command()
def down(
    purge: Annotated[bool, typer.Option("--purge", help="Also remove what it made.")] = False,
    var: Var = VAR,
) -> None:
    """End a stack, whoever started it."""
    from console import stack_commands
    from console.interrupts import run_command

    raise typer.Exit(run_command(lambda: stack_commands.down(var, purge=purge)))


@app.command()
def status(var: Var = VAR, json: Json = False) -> None:
    """Say how every service of a running stack is; exit code 0 when all are ready."""
    from console import stack_commands
    from console.interrupts import run_command

    raise typer.Exit(run_command(lambda: stack_commands.status(var, as_json=json)))


@app.command()
def load(
    rate: Rate = 100,
    seconds: Annotated[float, typer.Option(min=1, help="How long the load lasts.")] = 60,
    var: Var = VAR,
    json: Json = False,
) -> None:
    """Put a running stack under load and judge what happened, with the exit codes of demo."""
    from console import load_commands
    from console.interrupts import run_command

    lasting = timedelta(seconds=seconds)
    raise typer.Exit(
        run_command(lambda: load_commands.load(var, rate=rate, lasting=lasting, as_json=json))
    )


app.command()(doctor_commands.doctor)
app.command()(soak_commands.soak)
app.command()(revoke_commands.revoke)
app.command()(revoke_commands.unrevoke)
app.command()(issuer_commands.taint)
app.command()(issuer_commands.rollback)


def main() -> None:
    """Run the command line and exit."""
    from console.interrupts import leave_on_signals

    leave_on_signals()
    app(prog_name="securetransport")


if __name__ == "__main__":
    main()
