"""The hard limits: a module one can know, a function one can read at a glance."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path for folder in ("libs", "services", "scripts") for path in (ROOT / folder).rglob("*.py")
]
MODULE_LINES = 400
FUNCTION_LINES = 50
LOOSE_TASKS = {"create_task", "ensure_future", "gather"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_is_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_function_is_at_most_50_lines(path: Path) -> None:
    sizes = {
        f.name: (f.end_lineno or f.lineno) - f.lineno + 1
        for f in functions(ast.parse(path.read_text()))
    }

    assert {n: size for n, size in sizes.items() if size > FUNCTION_LINES} == {}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_task_belongs_to_a_group(path: Path) -> None:
    loose = [
        f"{name(path)}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in LOOSE_TASKS
        and isinstance(node.value, ast.Name)
        and node.value.id in {"asyncio", "loop"}
    ]

    assert loose == []
