"""Examining a deployment: whose listeners, with which certificates, and the exit code."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from console.doctor_cases import Kind, Shown
from console.doctor_examination import Finding, examine, is_sound
from console.doctor_local import open_local
from console.doctor_probe import Target
from console.doctor_report import report
from console.doctor_wallet import FileWallet, Wallet
from svc_core.errors import ConfigError

_SOUND, _UNSOUND = 0, 1
_GIVEN: Final = frozenset(Shown) - {Shown.NONE, Shown.FOREIGN}
"""What a person can name; the other two need no file."""


class DoctorOptionError(ConfigError):
    """What to examine was not said so that it can be done."""

    code = "doctor.options"
    advice = "see `securetransport doctor --help`"


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """What ``doctor`` was asked for."""

    admin: tuple[str, ...]
    nats: tuple[str, ...]
    trust: Path | None
    show: tuple[str, ...]
    root: Path
    as_json: bool


async def examine_all(options: DoctorOptions) -> int:
    """Examine every listener, print what was found, and return the exit code.

    Raises:
        ConfigError: the options make no sense, or there is no stack.
    """
    if options.admin or options.nats:
        targets = [
            *(read_target(text, Kind.ADMIN) for text in options.admin),
            *(read_target(text, Kind.NATS) for text in options.nats),
        ]
        files = _files(options)
        findings = await _examine(targets, lambda _: files)
    else:
        if options.trust is not None or options.show:
            raise DoctorOptionError("--trust and --show go with --admin and --nats")
        targets, wallet = await open_local(options.root)
        findings = await _examine(targets, wallet)
    report(findings, as_json=options.as_json)
    return _SOUND if is_sound(findings) else _UNSOUND


async def _examine(targets: Sequence[Target], wallet: Callable[[Kind], Wallet]) -> list[Finding]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(examine(target, wallet(target.kind))) for target in targets]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [finding for task in tasks for finding in task.result()]


def read_target(text: str, kind: Kind) -> Target:
    """Return the listener in ``NAME=HOST:PORT``.

    Raises:
        DoctorOptionError: it is written otherwise.
    """
    name, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    if not name or not host or not port.isdigit():
        raise DoctorOptionError(f"a listener is NAME=HOST:PORT, not {text!r}")
    return Target(name, kind, host.strip("[]"), int(port))


def _files(options: DoctorOptions) -> FileWallet:
    if options.trust is None:
        raise DoctorOptionError("--admin and --nats need --trust")
    directories: dict[Shown, Path] = {}
    for text in options.show:
        kind, _, directory = text.partition("=")
        if kind not in _GIVEN or not directory:
            names = ", ".join(sorted(_GIVEN))
            raise DoctorOptionError(f"--show is KIND=DIR, with KIND one of {names}, not {text!r}")
        directories[Shown(kind)] = Path(directory)
    wallet = FileWallet(options.trust, directories)
    wallet.trust()
    for shown in directories:
        wallet.show(shown)
    return wallet
