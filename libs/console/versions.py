"""Which versions a run was made with."""

import asyncio
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Final

from devstack.programs import find_nats_server, find_openbao

_VERSION: Final = re.compile(r"\d+\.\d+[\w.+-]*")
_UNKNOWN: Final = "unknown"


async def collect_versions() -> dict[str, str]:
    """Return the versions of this project, the servers and the libraries that matter most."""
    return {
        "python": platform.python_version(),
        "nats-server": await _program_version(find_nats_server(), "--version"),
        "openbao": await _program_version(find_openbao(), "version"),
        "securetransport": _distribution_version("securetransport"),
        "nats-py": _distribution_version("nats-py"),
        "cryptography": _distribution_version("cryptography"),
    }


def _distribution_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return _UNKNOWN


async def _program_version(program: Path, argument: str) -> str:
    process = await asyncio.create_subprocess_exec(
        program,
        argument,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    found = _VERSION.search(output.decode(errors="replace"))
    return found[0] if found else _UNKNOWN
