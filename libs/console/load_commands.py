"""``demo`` and ``load``."""

import json
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from rich.console import Console

from console.displays import open_display
from console.load_run import LoadRun, new_order
from console.stack_commands import NoStackError, restarts_of, running_layout
from console.verdict_table import print_verdict
from devstack.endpoints import read_endpoints
from devstack.stack import StackOptions, open_stack
from svc_core.domain.profiles import PROFILES
from svc_core.domain.verdict import Verdict

_NOT_PROVED: Final = 1


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What ``demo`` was asked for."""

    root: Path
    profile: str
    lasting: timedelta
    rate: float
    """Requests per second."""
    keep: bool
    as_json: bool
    base_port: int | None = None


async def demo(options: DemoOptions) -> int:
    """Start a stack, put it under load, judge the run, end the stack.

    Returns:
        0 when the run proved what it should, else 1.

    Raises:
        ConfigError: it cannot start as asked.
        StackStartError: a part did not become ready.
    """
    new_order(
        "demo", rate=options.rate, lasting=options.lasting
    )  # refuses nonsense before the boot
    stack_options = StackOptions(
        options.root, options.profile, base_port=options.base_port, keep=options.keep
    )
    with open_display(Console(stderr=options.as_json)) as display:
        async with open_stack(stack_options, display.note) as stack:
            order = new_order("demo", rate=options.rate, lasting=options.lasting)
            profile = PROFILES[options.profile]
            run = LoadRun(stack.layout, profile, display, lambda: restarts_of(stack))
            verdict = await run.carry_out(order)
            _store(stack.layout.verdict_file, verdict)
            if not options.keep:
                display.note("ending the stack")
    _report(verdict, as_json=options.as_json)
    if options.keep:
        text = f"the stack still runs; end it with `securetransport down --var {options.root}`"
        Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
    return 0 if verdict.is_good else _NOT_PROVED


async def load(root: Path, *, rate: float, lasting: timedelta, as_json: bool) -> int:
    """Put a running stack under load for a while and judge that.

    Returns:
        0 when the run proved what it should, else 1.

    Raises:
        NoStackError: no stack runs there.
        ConfigError: the load makes no sense.
    """
    layout = running_layout(root)
    endpoints = read_endpoints(layout)
    if endpoints is None:
        raise NoStackError(layout.root)
    order = new_order("load", rate=rate, lasting=lasting)
    with open_display(Console(stderr=as_json)) as display:
        # Another process supervises the children: their restarts are not ours to count.
        run = LoadRun(layout, PROFILES[endpoints.profile], display, dict)
        verdict = await run.carry_out(order)
    _report(verdict, as_json=as_json)
    return 0 if verdict.is_good else _NOT_PROVED


def _report(verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(verdict.as_document(), indent=2) + "\n")
        sys.stdout.flush()
    else:
        print_verdict(Console(), verdict)


def _store(path: Path, verdict: Verdict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(verdict.as_document(), indent=2) + "\n", encoding="utf-8")
