"""Prints the part of a hashed lock file that some packages need: their versions and hashes.

`requirements.lock` says in its ``# via`` comments who asked for each package, so what an image
needs at run time can be read from it, without a second lock file that could differ.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_REQUIREMENT: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VIA: Final = re.compile(r"^\s+#\s+(?:via\s+)?([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One entry of the lock file."""

    lines: tuple[str, ...]
    wanted_by: frozenset[str]


def read_lock(text: str) -> dict[str, LockedPackage]:
    """Return every entry of a lock file by its normalised name."""
    blocks: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        match = _REQUIREMENT.match(line)
        if match:
            current = blocks.setdefault(normalised(match[1]), [])
        if not line.startswith("#"):
            current.append(line)
    return {name: _package(lines) for name, lines in blocks.items()}


def closure(
    lock: Mapping[str, LockedPackage], roots: Iterable[str], *, without: Iterable[str] = ()
) -> list[str]:
    """Return the names of ``roots`` but ``without``, and of everything there because of them.

    Raises:
        KeyError: a root is not in the lock.
    """
    left_out = {normalised(name) for name in without}
    found = {normalised(root) for root in roots} - left_out
    missing = found - lock.keys()
    if missing:
        raise KeyError(f"not in the lock: {', '.join(sorted(missing))}")
    while True:
        wanted = {name for name, package in lock.items() if package.wanted_by & found}
        more = wanted - found - left_out
        if not more:
            return sorted(found)
        found |= more


def runtime_roots(project: Path) -> list[str]:
    """Return the names of the project's own dependencies, without those of any extra."""
    declared = tomllib.loads(project.read_text())["project"]["dependencies"]
    return [match[0] for line in declared if (match := _NAME.match(line))]


def normalised(name: str) -> str:
    """Return ``name`` as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Print the entries and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, default=Path("requirements.lock"))
    parser.add_argument("--project", type=Path, default=Path("pyproject.toml"))
    parser.add_argument("--without", nargs="*", default=[], help="leave these out")
    parser.add_argument("packages", nargs="*", help="instead of the project's dependencies")
    arguments = parser.parse_args()
    lock = read_lock(arguments.lock.read_text())
    roots = arguments.packages or runtime_roots(arguments.project)
    for name in closure(lock, roots, without=arguments.without):
        sys.stdout.write("\n".join(lock[name].lines) + "\n")
    return 0


def _package(lines: list[str]) -> LockedPackage:
    vias = (match[1] for line in lines if (match := _VIA.match(line)))
    return LockedPackage(tuple(lines), frozenset(normalised(via) for via in vias if via != "via"))


if __name__ == "__main__":
    sys.exit(main())
