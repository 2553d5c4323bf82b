"""The sections of a soak that are tests of this checkout: every case, not a sample of them."""

import asyncio
import os
import signal
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]
_ENDS_WITHIN_S: Final = 15.0
_NOTHING_COLLECTED: Final = 5


@dataclass(frozen=True, slots=True)
class Section:
    """Some test files and what they are about."""

    name: str
    paths: tuple[str, ...]
    """From the root of the checkout; those that are not there are not run."""
    within: timedelta


@dataclass(frozen=True, slots=True)
class SectionResult:
    """What came of one section."""

    name: str
    passed: int = 0
    skipped: int = 0
    failed: int = 0
    took_s: float = 0.0
    reason: str = ""
    """Why it does not hold; empty when it does."""
    log: str = ""
    """Where pytest's output is."""

    @property
    def is_good(self) -> bool:
        """Whether every case that ran passed, and some did."""
        return not self.reason


SECTIONS: Final = (
    Section(
        "crash-points",
        (
            "tests/chaos/test_crash_harness.py",
            "tests/chaos/test_crash_points.py",
            "tests/chaos/test_root_crash_points.py",
        ),
        timedelta(hours=3),
    ),
    Section(
        "breaks",
        (
            "tests/chaos/test_seeded.py",
            "tests/chaos/test_rotation_faults.py",
            "tests/chaos/test_server_faults.py",
            "tests/chaos/test_store_faults.py",
        ),
        timedelta(hours=3),
    ),
    Section("sleep", ("tests/chaos/test_sleep.py",), timedelta(hours=2)),
    Section("skew", ("tests/chaos/test_skew.py",), timedelta(hours=1)),
    Section(
        "fault-proxy",
        (
            "tests/integration/svc_core/test_nats_faults.py",
            "tests/integration/svc_core/test_chain_cuts.py",
            "tests/integration/svc_core/test_openbao_interrupted.py",
            "tests/integration/svc_core/test_openbao_lost_answers.py",
        ),
        timedelta(minutes=45),
    ),
    Section(
        "trust",
        ("tests/e2e/test_root_rotation.py", "tests/integration/svc_core/test_trust_table.py"),
        timedelta(minutes=30),
    ),
    Section("kubelet", ("tests/integration/kubernetes/test_rotation.py",), timedelta(minutes=45)),
)
"""In this order, one after the other."""


async def run_section(
    section: Section,
    *,
    folder: Path,
    seed: int,
    workers: int,
    note: Callable[[str], None],
    root: Path = _ROOT,
) -> SectionResult:
    """Run every case of ``section`` and return what came of it.

    Args:
        section: what to run.
        folder: for pytest's output and report.
        seed: what the cases that are drawn are drawn with.
        workers: how many cases run at a time, 1 or more.
        note: told in a sentence what happens.
        root: the checkout.
    """
    paths = [path for path in section.paths if (root / path).is_file()]
    if not paths:
        return SectionResult(section.name, reason="NOT RUN: its tests are not beside this package")
    log, report = _outputs(folder, section)
    note(f"{section.name}: {len(paths)} test files, output in {log}")
    began = asyncio.get_running_loop().time()
    command = _command(paths, report, workers=workers)
    code = await _run(command, section.within, root=root, seed=seed, log=log)
    took_s = round(asyncio.get_running_loop().time() - began, 1)
    return judged(section.name, code, report, took_s=took_s, log=log)


def _outputs(folder: Path, section: Section) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    log, report = folder / f"{section.name}.log", folder / f"{section.name}.xml"
    report.unlink(missing_ok=True)
    return log, report


def judged(name: str, code: int | None, report: Path, *, took_s: float, log: Path) -> SectionResult:
    """Return the result that pytest's exit code (None: it took too long) and report make."""
    passed, skipped, failed = _counts(report)
    reason = ""
    if code is None:
        reason = "it took too long and was ended"
    elif failed:
        reason = f"{failed} cases failed"
    elif code == _NOTHING_COLLECTED or not passed:
        reason = "NOT RUN: no case ran"
    elif code:
        reason = f"pytest ended with exit code {code}"
    return SectionResult(name, passed, skipped, failed, took_s, reason, str(log))


def _command(paths: Sequence[str], report: Path, *, workers: int) -> tuple[str, ...]:
    # By case and not by file, as the tests are spread otherwise: most sections are one long file.
    spread = ("-n", str(workers), "--dist", "load") if workers > 1 else ()
    options = ("-q", "-ra", "-p", "no:cacheprovider", f"--junitxml={report}")
    return (sys.executable, "-m", "pytest", *options, *spread, *paths)


async def _run(
    command: Sequence[str], within: timedelta, *, root: Path, seed: int, log: Path
) -> int | None:
    environment = os.environ | {"CHAOS_ALL": "1", "CHAOS_SEED": str(seed)}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=root,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await process.wait()
        except TimeoutError:
            return None
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End pytest as Ctrl-C would, so that its fixtures end what they started; then for good."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(_ENDS_WITHIN_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _counts(report: Path) -> tuple[int, int, int]:
    try:
        suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 (pytest's own report)
    except (OSError, ET.ParseError):
        return 0, 0, 0
    if suite is None:
        return 0, 0, 0
    total, skipped, failed = (
        int(suite.get(name, "0")) for name in ("tests", "skipped", "failures")
    )
    failed += int(suite.get("errors", "0"))
    return max(0, total - skipped - failed), skipped, failed
