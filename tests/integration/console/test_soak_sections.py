"""A section of a soak is a run of pytest: its cases are all run, counted, and ended in time."""

from datetime import timedelta
from pathlib import Path

import pytest

from console.soak_sections import Section, SectionResult, run_section

CASES = """\
import os
import pytest

def test_that_every_case_is_asked_for():
    assert (os.environ["CHAOS_ALL"], os.environ["CHAOS_SEED"]) == ("1", "7")

# Skipped for good: a section must count what did not run, and not take it for good.
@pytest.mark.skip(reason="the machine lacks something")
def test_that_cannot_run():
    ...

def test_that_fails():
    assert {outcome}
"""
ENDLESS = """\
from threading import Event
def test_that_never_ends():
    Event().wait()
"""


def section_of(root: Path, cases: str, *, within_s: float = 30.0) -> Section:
    (root / "test_cases.py").write_text(cases)
    # The settings of this checkout's own tests are none of theirs.
    (root / "pytest.ini").write_text("[pytest]\n")
    return Section("sample", ("test_cases.py", "test_not_there.py"), timedelta(seconds=within_s))


async def result_of(
    section: Section, root: Path, *, workers: int = 1, notes: list[str] | None = None
) -> SectionResult:
    note = [] if notes is None else notes
    return await run_section(
        section, folder=root / "out", seed=7, workers=workers, note=note.append, root=root
    )


@pytest.mark.parametrize("workers", [pytest.param(1, id="alone"), pytest.param(2, id="by two")])
async def test_the_cases_of_a_section_are_counted(tmp_path: Path, workers: int) -> None:
    section = section_of(tmp_path, CASES.format(outcome=True))
    notes: list[str] = []

    found = await result_of(section, tmp_path, workers=workers, notes=notes)

    assert (found.passed, found.skipped, found.failed) == (2, 1, 0), Path(found.log).read_text()
    assert (found.reason, found.is_good) == ("", True)
    assert len(notes) == 1


async def test_a_case_that_fails_is_why_a_section_does_not_hold(tmp_path: Path) -> None:
    section = section_of(tmp_path, CASES.format(outcome=False))

    found = await result_of(section, tmp_path)

    assert (found.passed, found.failed, found.reason) == (1, 1, "1 cases failed")
    assert "test_that_fails" in Path(found.log).read_text()


async def test_a_section_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    section = section_of(tmp_path, ENDLESS, within_s=2.0)

    found = await result_of(section, tmp_path)

    assert found.reason == "it took too long and was ended"
