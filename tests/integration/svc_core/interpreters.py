"""The Pythons that handshakes are tried on, and how they are asked."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from svc_core.domain.tls import TlsMaterial

_PROBE: Final = "tests.integration.svc_core.handshake_probe"
_ROOT: Final = Path(__file__).parents[3]
_WITHIN_S: Final = 120.0

Attempt = Mapping[str, Any]


@dataclass(frozen=True)
class Interpreter:
    """One Python to ask."""

    path: str

    def attempt(self, attempts: Sequence[Attempt]) -> list[str]:
        """Make every attempt in a process of this Python; "" is one that worked."""
        done = subprocess.run(
            [self.path, "-m", _PROBE],
            input=json.dumps(list(attempts)),
            capture_output=True,
            text=True,
            timeout=_WITHIN_S,
            check=True,
            cwd=_ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{_ROOT / 'libs'}:{_ROOT}"},
        )
        outcomes: list[str] = json.loads(done.stdout)
        return outcomes


def with_server(client: TlsMaterial, port: int, *, strict: bool = False) -> Attempt:
    """Return the attempt to connect to a NATS server on this machine."""
    where = {"address": "127.0.0.1", "port": port}
    return {"kind": "server", "client": _shown(client), "strict": strict, **where}


def in_memory(
    client: TlsMaterial, server: TlsMaterial, *, strict: bool = False, classical: bool = False
) -> Attempt:
    """Return the attempt to shake hands without a network.

    Args:
        client: what the client shows and trusts.
        server: the same of the server.
        strict: whether both insist on RFC 5280 to the letter.
        classical: whether the client trusts the roots alone, as one that is not ours may.
    """
    return {
        "kind": "memory",
        "client": _shown(client),
        "server": _shown(server),
        "strict": strict,
        "classical": classical,
    }


def this_python() -> Interpreter:
    """Return the one the tests run on."""
    return Interpreter(sys.executable)


def newest_python() -> Interpreter:
    """Return the newest one there is beyond this one; skips the test when there is none."""
    named = os.environ.get("NEWEST_PYTHON", "")
    path = named or _newest_here()
    if path is None:
        # The table holds for the Python the services run on; another one is no part of a set-up.
        mine = f"{sys.version_info.major}.{sys.version_info.minor}"
        pytest.skip(f"NOT RUN: no Python newer than {mine} is here; NEWEST_PYTHON names one")
    return Interpreter(path)


def _newest_here() -> str | None:
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    folders += Path.home().glob(".pyenv/versions/*/bin")
    found = [
        (int(match[1]), str(path))
        for folder in folders
        for path in folder.glob("python3.*")
        if (match := re.fullmatch(r"python3\.(\d+)", path.name))
    ]
    newer = sorted((f for f in found if f[0] > sys.version_info.minor), reverse=True)
    return next((path for _, path in newer if _runs(path)), None)


def _runs(path: str) -> bool:
    """Say whether it is a Python that can do TLS, and no name that stands for none."""
    done = subprocess.run([path, "-c", "import ssl"], capture_output=True, check=False)
    return done.returncode == 0


def _shown(material: TlsMaterial) -> Mapping[str, str]:
    return {
        "chain": material.chain_pem,
        "key": material.key_pem.reveal().decode(),
        "trust": material.trust_pem,
        "root": material.root_pem,
    }
