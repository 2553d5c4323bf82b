"""Where something was measured, and with which versions."""

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from cryptography.hazmat.backends.openssl.backend import backend

_CPU_INFO: Final = Path("/proc/cpuinfo")
_UNKNOWN: Final = "unknown"
_DISTRIBUTIONS: Final = (
    *("securetransport", "cryptography", "fastavro", "uvloop", "pqcrypto", "nats-py"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine as it was before anything was measured."""

    cpu: str
    cpus: tuple[int, ...]
    """Processors this process may use."""
    load: tuple[float, float, float]
    """Load average over 1, 5 and 15 minutes."""
    system: str


def describe_machine() -> Machine:
    """Return what this machine is and how busy."""
    return Machine(
        cpu=cpu_model(_read(_CPU_INFO)) or platform.processor() or _UNKNOWN,
        cpus=usable_cpus(),
        load=os.getloadavg(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


def usable_cpus() -> tuple[int, ...]:
    """Return the processors this process may use, by number."""
    return tuple(sorted(os.sched_getaffinity(0)))


def cpu_model(cpu_info: str) -> str:
    """Return the first model name in the text of ``/proc/cpuinfo``, or nothing."""
    for line in cpu_info.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model", "cpu model"}:
            return value.strip()
    return ""


def describe_versions() -> dict[str, str]:
    """Return the versions of the interpreter, of OpenSSL and of the libraries that matter."""
    versions = {
        "python": platform.python_version(),
        "openssl": backend.openssl_version_text(),
    }
    return versions | {name: _version(name) for name in _DISTRIBUTIONS}


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
