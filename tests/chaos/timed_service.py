"""Runs a real service that starts when it is told to, by a clock that can be set.

``python -m tests.chaos.timed_service <service> --config <file>``: as long as the service is told to
sleep it only waits; then it becomes a new process that runs the product's own service, whose
`SystemClock` is ahead of this machine's by what a file beside its configuration says. When each
process began and when it had been loaded is written down.

OpenSSL checks certificates by this machine's time all the same, unless libfaketime is at hand: with
it the whole process has the other time. It can do that for Python, and not for OpenBao and NATS,
since programs in Go ask the kernel past the C library. It makes every look at the clock so dear
that two processors carry one such stack at a time and not two: with it a soak has one worker.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn

_ASLEEP: Final = "asleep"
_CLOCK: Final = "clock"
_STARTS: Final = "starts"
_AWAKE: Final = "--awake"
_LIBRARY: Final = os.environ.get("LIBFAKETIME", "")
_LIBRARIES: Final = "lib/*/faketime/libfaketimeMT.so.1"
_LOOK_S: Final = 0.01


def library() -> str:
    """Return where libfaketime is, by ``LIBFAKETIME`` or where Debian has it; empty without it."""
    return _LIBRARY or next(map(str, Path("/usr").glob(_LIBRARIES)), "")


def run_service(service: str) -> tuple[str, ...]:
    """Return what Python is given to run ``service`` like this, as `StackOptions.run`."""
    return ("-m", "tests.chaos.timed_service", service, library())


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a process."""

    began_at: datetime
    """When the interpreter was started."""
    loaded_at: datetime
    """When every module of the service had been imported."""


def put_to_sleep(directory: Path) -> None:
    """Have the service in ``directory`` not start from now on; one that runs goes on."""
    (directory / _ASLEEP).touch()


def wake(directory: Path) -> None:
    """Let it start."""
    (directory / _ASLEEP).unlink(missing_ok=True)


def set_clock(directory: Path, ahead: timedelta) -> None:
    """Set the clock of the service in ``directory``, which may run, this much ahead."""
    path = directory / _CLOCK
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(f"{ahead.total_seconds():+f}")
    temporary.replace(path)


def starts(directory: Path) -> list[Start]:
    """Return every start, oldest first."""
    try:
        lines = (directory / _STARTS).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [Start(*(datetime.fromisoformat(at) for at in json.loads(line))) for line in lines]


def main() -> int:
    """Wait until the service may start, or run it; return its exit code."""
    service, preloaded, *rest = sys.argv[1:]
    directory = Path(sys.argv[sys.argv.index("--config") + 1]).parent
    if rest[0] == _AWAKE:
        return _run(service, directory, began_at=rest[1], has_library=bool(preloaded))
    while (directory / _ASLEEP).exists():
        time.sleep(_LOOK_S)
    module = ("-P", "-m", "tests.chaos.timed_service", service, preloaded, _AWAKE)
    return _become((*module, _now().isoformat(), *rest), _environment(directory, preloaded))


def _become(arguments: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    os.execve(sys.executable, (sys.executable, *arguments), environment)  # noqa: S606 (its purpose)


def _environment(directory: Path, preloaded: str) -> dict[str, str]:
    if not preloaded:
        return dict(os.environ)
    return os.environ | {
        "LD_PRELOAD": preloaded,
        "FAKETIME_TIMESTAMP_FILE": str(directory / _CLOCK),
        # How often the file is read, in seconds: to read it at every look at the clock is all that
        # a process would do.
        "FAKETIME_CACHE_DURATION": "1",
        # What never steps does not step here either.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _run(service: str, directory: Path, *, began_at: str, has_library: bool) -> int:
    sys.argv[1:] = sys.argv[sys.argv.index("--config") :]
    module = importlib.import_module(f"services.{service}.main")
    with (directory / _STARTS).open("a") as file:
        file.write(json.dumps([began_at, _now().isoformat()]) + "\n")
    if not has_library:
        _use_clock(directory / _CLOCK)
    profiles = importlib.import_module("tests.chaos.short_profiles")
    with profiles.short_profiles():
        code: int = module.main()
    return code


def _use_clock(path: Path) -> None:
    clock = importlib.import_module("svc_core.adapters.system_clock")

    def now(_: object) -> datetime:
        try:
            ahead = float(path.read_text())
        except FileNotFoundError:
            ahead = 0.0
        return _now() + timedelta(seconds=ahead)

    clock.SystemClock.now = now


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main())
