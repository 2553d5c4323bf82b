"""Sections that are tests: what pytest's exit code and report make of them, and what is not run."""

from datetime import timedelta
from pathlib import Path

import pytest

from console.soak_sections import SECTIONS, Section, judged, run_section

ROOT = Path(__file__).parents[3]
REPORT = (
    '<testsuites><testsuite tests="{0}" skipped="{1}" failures="{2}" errors="{3}"/></testsuites>'
)


@pytest.mark.parametrize(
    ("code", "counts", "reason"),
    [
        pytest.param(0, (9, 2, 0, 0), "", id="all passed"),
        pytest.param(1, (9, 0, 2, 1), "3 cases failed", id="some failed"),
        pytest.param(0, (2, 2, 0, 0), "NOT RUN: no case ran", id="all skipped"),
        pytest.param(5, (0, 0, 0, 0), "NOT RUN: no case ran", id="none found"),
        pytest.param(3, (4, 0, 0, 0), "pytest ended with exit code 3", id="broke down"),
        pytest.param(None, (4, 0, 0, 0), "it took too long and was ended", id="too long"),
    ],
)
def test_a_section_holds_when_its_cases_ran_and_passed(
    tmp_path: Path, code: int | None, counts: tuple[int, ...], reason: str
) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT.format(*counts))

    found = judged("sample", code, report, took_s=1.0, log=tmp_path / "log")

    assert (found.reason, found.is_good) == (reason, not reason)
    assert found.passed == counts[0] - sum(counts[1:])


def test_a_report_that_is_not_there_proves_nothing(tmp_path: Path) -> None:
    found = judged("sample", 0, tmp_path / "none.xml", took_s=1.0, log=tmp_path / "log")

    assert found.reason == "NOT RUN: no case ran"


async def test_a_section_without_tests_is_not_run_and_does_not_hold(tmp_path: Path) -> None:
    section = Section("sample", ("tests/none.py",), timedelta(seconds=1))

    found = await run_section(
        section, folder=tmp_path, seed=1, workers=1, note=lambda _: None, root=tmp_path
    )

    assert found.reason.startswith("NOT RUN")
    assert not found.is_good


def test_sections_name_tests_that_exist() -> None:
    for section in SECTIONS:
        assert any((ROOT / path).is_file() for path in section.paths), section.name
