"""``up``, ``down`` and ``status``."""

import asyncio
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from rich.console import Console

from console.displays import Phase, Scene, open_display, services_table
from console.load_run import new_order, place_order
from console.observation import observe
from devstack.layout import Layout
from devstack.registry import read_record
from devstack.stack import Stack, StackOptions, open_stack
from devstack.takedown import take_down
from svc_core.domain.desired import TrustMode
from svc_core.errors import ConfigError, SvcError

_STANDING_LOAD: Final = timedelta(days=365)
_TICK_S: Final = 1.0
_NOT_READY: Final = 1


class NoStackError(ConfigError):
    """There is no stack in the directory that was named."""

    code = "console.no_stack"
    advice = "start one with `securetransport up`, or name its directory with --var"

    def __init__(self, root: Path) -> None:
        super().__init__(f"no stack runs in {root}")
        self.root = root


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What ``up`` was asked for."""

    root: Path
    profile: str
    rate: float
    base_port: int | None = None
    trust_mode: TrustMode = TrustMode.INTERMEDIATES
    metadata_replicas: int = 1


async def up(options: UpOptions) -> int:
    """Start a stack and keep it running in the foreground until a signal.

    Raises:
        ConfigError: it cannot start as asked.
        StackStartError: a part did not become ready.
    """
    order = new_order("up", rate=options.rate, lasting=_STANDING_LOAD) if options.rate else None
    stack_options = StackOptions(
        options.root,
        options.profile,
        base_port=options.base_port,
        trust_mode=options.trust_mode,
        metadata_replicas=options.metadata_replicas,
    )
    with open_display(Console()) as display:
        async with open_stack(stack_options, display.note) as stack:
            place_order(stack.layout, order)
            display.note(f"the stack is up in {options.root}; Ctrl-C ends it")
            phase = Phase.LOAD if order else Phase.IDLE
            try:
                while True:
                    views = await observe(stack.layout)
                    display.show(Scene(phase, None, views, restarts_of(stack)))
                    await asyncio.sleep(_TICK_S)
            finally:
                place_order(stack.layout, None)


async def down(root: Path, *, purge: bool) -> int:
    """End the stack in ``root``, whoever started it; with ``purge`` remove what it made.

    Raises:
        StackInUseError: its supervisor did not end in time.
        StuckProcessError: a process did not even die of SIGKILL.
    """
    ended = await take_down(root, purge=purge)
    Console().print(f"ended: {', '.join(ended)}" if ended else "nothing was left to end")
    return 0


async def status(root: Path, *, as_json: bool) -> int:
    """Print how the stack in ``root`` is; return 0 when every service is ready, else 1.

    What the rotation is doing, who has acknowledged it and what is next comes from OpenBao, under
    the operator's AppRole; when that does not answer the rest is printed all the same.

    Raises:
        NoStackError: there is none.
    """
    # Reading the outlook takes a session with OpenBao, which nothing else here needs.
    from console.outlook import fetch_outlook, parties_table, phase_lines

    layout = running_layout(root)
    views = await observe(layout, detailed=True)
    outlook, reason = None, ""
    try:
        outlook = await fetch_outlook(layout)
    except SvcError as err:
        reason = str(err)
    if as_json:
        document: dict[str, object] = {view.name: view.as_document() for view in views}
        document["rotation"] = outlook or {"unknown": reason}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        console = Console()
        console.print(services_table(Scene(Phase.IDLE, None, views)))
        if outlook is not None:
            console.print(*phase_lines(outlook, datetime.now(UTC)), sep="\n")
            console.print(parties_table(outlook))
        else:
            console.print(f"rotation: cannot be asked for: {reason}", markup=False)
    return 0 if all(view.is_ready for view in views) else _NOT_READY


def running_layout(root: Path) -> Layout:
    """Return the layout of the stack in ``root``, or raise `NoStackError`."""
    layout = Layout.at(root)
    record = read_record(layout.stack_file)
    if record is None or not any(child.process.is_alive for child in record.children):
        raise NoStackError(layout.root)
    return layout


def restarts_of(stack: Stack) -> dict[str, int]:
    """Return how often each child of ``stack`` was restarted."""
    return {child.name: child.restarts for child in stack.children}
