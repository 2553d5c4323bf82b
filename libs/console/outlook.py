"""What the authority says it will do next and whom it waits for: read from OpenBao, and shown.

Nothing is asked of the authority and nothing is written, so this works while it is away; then what
is shown is as old as it says.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from console.operator_bus import NothingAnnouncedError
from console.operator_session import open_operator_session
from devstack.layout import Layout
from svc_core.domain.subjects import OUTLOOK_PATH
from svc_core.errors import MalformedMessageError, NotFoundError

_FORMAT: Final = "outlook/1"


_UNITS: Final = ((172_800.0, 86_400.0, "d"), (7_200.0, 3_600.0, "h"), (600.0, 60.0, "min"))
"""From how many seconds on a time is said in which unit, and its seconds."""


class Asked(StrEnum):
    """Of what the steps are asked for; the values are the outlook's own names for them."""

    NEXT = "foreseen"
    """What happens by itself."""
    CA = "if_ordered"
    """What ``rotate ca`` would bring forward."""
    ROOT = "if_root_ordered"
    """What ``rotate root`` would begin."""


@dataclass(frozen=True, slots=True)
class OutlookOptions:
    """What ``plan`` was asked for."""

    root: Path
    url: str = ""
    """Of OpenBao; empty: the one of the stack in ``root``."""
    asked: Asked = Asked.NEXT
    as_json: bool = False


async def plan_rotation(options: OutlookOptions) -> int:
    """Print the steps of the next period and of the next change of root, and return 0.

    Raises:
        ConfigError: there is no stack.
        AccessDeniedError: OpenBao refuses the operator.
        NothingAnnouncedError: the authority has said nothing yet.
    """
    outlook = await fetch_outlook(Layout.at(options.root), options.url)
    if options.as_json:
        sys.stdout.write(json.dumps(outlook, indent=2) + "\n")
        return 0
    now = datetime.now(UTC)
    console = Console()
    console.print(Group(*phase_lines(outlook, now), *plan_parts(outlook, options.asked, now)))
    return 0


async def fetch_outlook(layout: Layout, url: str = "") -> Mapping[str, Any]:
    """Return what the authority last wrote down.

    Raises:
        NothingAnnouncedError: nothing yet.
        MalformedMessageError: of another version of this software.
        SvcError: OpenBao refuses the operator, or does not answer.
    """
    async with open_operator_session(layout, url) as api:
        try:
            answer = await api.read(f"secret/data/{OUTLOOK_PATH}")
        except NotFoundError as err:
            raise NothingAnnouncedError("the authority has not said yet what is next") from err
    outlook: Mapping[str, Any] = answer["data"]["data"]
    if outlook.get("format") != _FORMAT:
        raise MalformedMessageError("the authority's outlook is of another version")
    return outlook


def phase_lines(outlook: Mapping[str, Any], now: datetime) -> Iterator[RenderableType]:
    """Yield where the rotation is, what is next, and what keeps it waiting."""
    yield Text(f"rotation: {outlook['phase']} (version {outlook['version']})", style="bold")
    if following := _next(outlook["foreseen"], now):
        yield Text(following)
    if outlook["held"]:
        yield Text(f"it waits: {outlook['held']}", style="red")
    if outlook["fenced"]:
        yield Text(f"kept out until verified: {', '.join(outlook['fenced'])}", style="red")
    if setback := outlook["setback"]:
        times = "once" if setback["count"] == 1 else f"{setback['count']} times in a row"
        yield Text(
            f"the last activation failed ({times}); tried again in epoch {setback['resume_epoch']}",
            style="red",
        )
    yield from _root_line(outlook, now)
    age = (now - datetime.fromisoformat(outlook["at"])).total_seconds()
    yield Text(f"said by {outlook['by']} {max(age, 0):.0f} s ago", style="dim")


def parties_table(outlook: Mapping[str, Any]) -> Table:
    """Return who has acknowledged the newest version: every instance and every server."""
    table = Table("party", "acknowledged", "version", "issuer", "")
    for party in outlook["consumers"]:
        table.add_row(party["name"], _yes(party), str(party["version"]), party["issuer"] or "-", "")
    for server in outlook["servers"]:
        note = f"{'FAILED: ' if server['failed'] else ''}{server['error']}"
        if server["name"] in outlook["fenced"]:
            note = f"fenced; {note}"
        name, version = f"server {server['name']}", str(server["version"])
        table.add_row(name, _yes(server), version, server["issuer"] or "-", Text(note))
    return table


def plan_parts(outlook: Mapping[str, Any], asked: Asked, now: datetime) -> Iterator[RenderableType]:
    """Yield the tables of steps that were asked for."""
    # A holder of the lease that is older than this knows nothing of plans of roots.
    roots = outlook.get("roots_foreseen", ())
    if asked is Asked.ROOT and (refusal := outlook.get("root_order_refused")):
        yield Text(f"it would be refused: {refusal}", style="red")
        yield steps_table(roots, now, title="the change of root that is under way")
    else:
        yield steps_table(outlook.get(asked, ()), now)
        if asked is Asked.NEXT and roots:
            yield steps_table(roots, now, title="the root, to the end of the former one")


def steps_table(
    steps: Sequence[Mapping[str, str]], now: datetime, *, title: str | None = None
) -> Table:
    """Return what is foreseen, with the time to each step."""
    table = Table("in", "step", "of", "effect", title=title, title_justify="left")
    for step in steps:
        table.add_row(_in(step["at"], now), step["step"], step["subject"], Text(step["effect"]))
    return table


def _next(steps: Sequence[Mapping[str, str]], now: datetime) -> str:
    if not steps:
        return ""
    first = steps[0]
    return f"next: {first['step']} {first['subject']} in {_in(first['at'], now)}"


def _root_line(outlook: Mapping[str, Any], now: datetime) -> Iterator[RenderableType]:
    signing = [root["name"] for root in outlook["roots"] if root["state"] == "signing"]
    if signing:
        steps = outlook.get("roots_foreseen", ())
        following = f"; {_next(steps, now)}" if steps else ""
        yield Text(f"root that signs: {', '.join(signing)}{following}")


def _in(at: str, now: datetime) -> str:
    """Return the time to ``at`` as exactly as it matters."""
    left_s = max((datetime.fromisoformat(at) - now).total_seconds(), 0.0)
    for least_s, unit_s, unit in _UNITS:
        if left_s >= least_s:
            return f"{left_s / unit_s:.1f} {unit}"
    return f"{left_s:.1f} s"


def _yes(party: Mapping[str, Any]) -> Text:
    return Text("yes", style="green") if party["acknowledged"] else Text("no", style="red")
