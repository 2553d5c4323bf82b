"""The plan of an ACL change as a person reads it."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from svc_core.domain.acl_diff import AclDiff, TopicRight

_SHOWN: Final = 20
"""Topics in one cell or line; ``--json`` has them all."""


def print_plan(console: Console, diff: AclDiff, servers: Sequence[str]) -> None:
    """Print what changes for each service, and what would be done about it.

    Args:
        console: where to.
        diff: what changes.
        servers: the NATS servers by name; empty when they are not known.
    """
    if diff.is_empty:
        console.print("nothing would change", markup=False)
        return
    console.print(_permissions(diff))
    for what, names in (
        ("services added", diff.services_added),
        ("services removed", diff.services_removed),
        ("topics added", diff.topics_added),
        ("topics removed", diff.topics_removed),
        ("keys that would roll", diff.topics_to_roll),
        ("bundles issued again", diff.bundles),
        ("NATS users that change", diff.nats_users),
        ("NATS servers to reload", (servers or ("all",)) if diff.nats_users else ()),
    ):
        line = f"{what}: {_listed(names)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _permissions(diff: AclDiff) -> Table:
    table = Table()
    for column in ("service", "granted", "withdrawn"):
        table.add_column(column, overflow="fold")
    touched = {right.service for right in (*diff.granted, *diff.withdrawn)}
    for service in sorted(touched | {*diff.services_added, *diff.services_removed}):
        table.add_row(
            _named(service, diff),
            _cell(diff.granted, service, "green"),
            _cell(diff.withdrawn, service, "red"),
        )
    return table


def _named(service: str, diff: AclDiff) -> str:
    if service in diff.services_added:
        return f"{service} (new)"
    return f"{service} (removed)" if service in diff.services_removed else service


def _cell(rights: Sequence[TopicRight], service: str, style: str) -> Text:
    lines = [f"{right.verb} {right.topic}" for right in rights if right.service == service]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return Text("\n".join([*lines[:_SHOWN], *more]), style=style)


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
