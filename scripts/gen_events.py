"""Write docs/reference/events.md: every event the source logs, with its fields."""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scripts.generated_page import ROOT, run

PAGE: Final = ROOT / "docs" / "reference" / "events.md"
SOURCES: Final = ("libs/svc_core", "services")
LEVELS: Final = ("debug", "info", "warning", "error", "exception", "critical")
LOGGERS: Final = ("log", "_log", "logger")
INTRODUCTION: Final = """\
# Events

Every line of a service's log is one JSON object with `ts` (ISO-8601, UTC), `level`, `event`,
`service` and `instance`, and the fields below. `debug` is for us, `info` says that a state
changed, `warning` that it will be tried again, `error` that someone must act. This page is
generated from the source; `just generate` rewrites it.

| event | level | fields | logged by |
|---|---|---|---|
"""


@dataclass
class Event:
    """What the source says about one event."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)


def render() -> str:
    """Return the whole page."""
    events: dict[str, Event] = defaultdict(Event)
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            for level, call in _log_calls(ast.parse(path.read_text())):
                _note(events, level, call, _module(path))
    return INTRODUCTION + "".join(_row(name, events[name]) for name in sorted(events))


def _note(events: dict[str, Event], level: str, call: ast.Call, module: str) -> None:
    for name in _names(call.args[0]) if call.args else ():
        event = events[name]
        event.levels.add("error" if level == "exception" else level)
        event.fields.update(keyword.arg for keyword in call.keywords if keyword.arg)
        event.modules.add(module)


def _names(node: ast.expr) -> Iterator[str]:
    """Yield the event's name, or both where one of two is chosen."""
    if isinstance(node, ast.IfExp):
        yield from _names(node.body)
        yield from _names(node.orelse)
    elif isinstance(node, ast.Constant):
        yield str(node.value)


def _log_calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield ``log.info("…")`` and calls of a name that was chosen between two such methods."""
    chosen = dict(_chosen_methods(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        level = _level(node.func)
        if level is None and isinstance(node.func, ast.Name):
            level = chosen.get(node.func.id)
        if level is not None:
            yield level, node


def _chosen_methods(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
            levels = [_level(node.value.body), _level(node.value.orelse)]
            if all(levels) and isinstance(node.targets[0], ast.Name):
                yield node.targets[0].id, ", ".join(sorted(str(level) for level in levels))


def _level(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute) and node.attr in LEVELS and _is_logger(node.value):
        return node.attr
    return None


def _is_logger(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in LOGGERS
    return isinstance(node, ast.Name) and node.id in LOGGERS


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "libs" else parts)


def _row(name: str, event: Event) -> str:
    fields = ", ".join(f"`{item}`" for item in sorted(event.fields)) or "none"
    modules = ", ".join(f"`{item}`" for item in sorted(event.modules))
    return f"| `{name}` | {', '.join(sorted(event.levels))} | {fields} | {modules} |\n"


if __name__ == "__main__":
    sys.exit(run(PAGE, render, __doc__))
