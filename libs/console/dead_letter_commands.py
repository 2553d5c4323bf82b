"""``dead-letters``: what services had to refuse, and what can be done about it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.options import VAR, Json, Var

if TYPE_CHECKING:
    from console.letter_selection import Selection
    from console.operator_settings import Target

app = typer.Typer(
    help="Look at messages that services had to refuse, send them again, or remove them.",
    no_args_is_help=True,
)

Id = Annotated[int, typer.Argument(min=1, help="Its id, as `list` says it.", metavar="ID")]
Ids = Annotated[list[int] | None, typer.Argument(help="Ids, as `list` says them.", metavar="[ID]…")]
Service = Annotated[str, typer.Option(help="Only what this service refused.", metavar="NAME")]
Code = Annotated[str, typer.Option(help="Only what was refused for this reason.")]
Since = Annotated[
    str, typer.Option(help="Only what was refused since: 90m, or a time.", metavar="WHEN")
]
Before = Annotated[
    str, typer.Option(help="Only what was refused before: 7d, or a time.", metavar="WHEN")
]
All = Annotated[bool, typer.Option("--all", help="All letters, or all that the filters leave.")]
Config = Annotated[
    Path | None,
    typer.Option(help="Settings of another deployment, instead of --var.", metavar="FILE"),
]


@app.command("list")
def list_(
    service: Service = "",
    code: Code = "",
    since: Since = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the newest.")] = 50,
    var: Var = VAR,
    config: Config = None,
    json: Json = False,
) -> None:
    """List dead letters, the newest first.

    Exit codes: 0 done, 1 OpenBao or NATS does not answer, 2 the settings or options are wrong.
    """
    from console.dead_letters import list_letters
    from console.interrupts import run_command

    async def command() -> int:
        selection = _selection([], service, code, since)
        target = _target(var, config)
        return await list_letters(target, selection, limit=limit, as_json=json)

    raise typer.Exit(run_command(command))


@app.command()
def show(letter: Id, var: Var = VAR, config: Config = None, json: Json = False) -> None:
    """Say everything about one dead letter: why, where from, what it claims, what to do next.

    Its payload is sealed and stays so. Exit codes: those of list, and 1 when it does not exist.
    """
    from console.dead_letters import show_letter
    from console.interrupts import run_command

    target = _target(var, config)
    raise typer.Exit(run_command(lambda: show_letter(target, letter, as_json=json)))


@app.command()
def replay(
    ids: Ids = None,
    everything: All = False,
    service: Service = "",
    code: Code = "",
    since: Since = "",
    again: Annotated[
        bool, typer.Option("--again", help="Also what was sent again before.")
    ] = False,
    var: Var = VAR,
    config: Config = None,
    json: Json = False,
) -> None:
    """Send the refused bytes again on their subject, each letter once; the letters are kept.

    Exit codes: 0 all of them are in their streams, 1 some are not, 2 the options are wrong.
    """
    from console.dead_letters import ReplayOptions, replay_letters, require_condition
    from console.interrupts import run_command

    async def command() -> int:
        selection = _selection(ids or [], service, code, since)
        require_condition(selection, everything=everything)
        return await replay_letters(
            ReplayOptions(_target(var, config), selection, again=again, as_json=json)
        )

    raise typer.Exit(run_command(command))


@app.command()
def purge(
    ids: Ids = None,
    everything: All = False,
    service: Service = "",
    code: Code = "",
    since: Since = "",
    before: Before = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    var: Var = VAR,
    config: Config = None,
    json: Json = False,
) -> None:
    """Remove dead letters for good, after asking.

    Exit codes: 0 removed, or there was nothing to remove; 1 not removed; 2 the options are wrong.
    """
    from console.dead_letters import choose_letters, purge_letters, require_condition
    from console.interrupts import run_command

    target = _target(var, config)
    chosen: list[int] = []

    async def choose() -> int:
        selection = _selection(ids or [], service, code, since, before)
        require_condition(selection, everything=everything)
        chosen.extend(await choose_letters(target, selection))
        return 0

    if failure := run_command(choose):
        raise typer.Exit(failure)
    if chosen and not yes:
        _confirm(len(chosen))
    raise typer.Exit(run_command(lambda: purge_letters(target, chosen, as_json=json)))


def _confirm(count: int) -> None:
    from console.interrupts import leave_on_signals

    leave_on_signals()
    if not typer.confirm(f"Remove {count} dead letters for good?", err=True):
        typer.echo("nothing removed", err=True)
        raise typer.Exit(1)


def _target(var: Path, config: Path | None) -> "Target":
    from console.operator_settings import Target

    return Target(var, config)


def _selection(
    ids: list[int], service: str, code: str, since: str, before: str = ""
) -> "Selection":
    from datetime import UTC, datetime

    from console.letter_selection import Selection, read_moment

    now = datetime.now(UTC)
    return Selection(
        ids=tuple(ids),
        service=service,
        code=code,
        since=read_moment(since, now=now),
        before=read_moment(before, now=now),
    )
