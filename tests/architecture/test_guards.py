"""The page of guards names checks and tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| ([^|]+) \| `([^`]+)` \| [^|]+ \| `([^`]+)::([^`]+)` \|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs" / "guards.md").read_text())


def test_every_row_can_be_read() -> None:
    rows = re.findall(r"^\| .* \|$", (ROOT / "docs" / "guards.md").read_text(), re.MULTILINE)
    headings = [row for row in rows if row.startswith("| guard |")]

    assert len(ROWS) == len(rows) - len(headings) > 0


@pytest.mark.parametrize(("guard", "source", "file", "test"), ROWS, ids=[row[0] for row in ROWS])
def test_guard_and_test_exist(guard: str, source: str, file: str, test: str) -> None:
    folder = ROOT if source.startswith("services/") else ROOT / "libs"

    assert (folder / source).is_file(), guard
    assert f"def {test}(" in (ROOT / "tests" / file).read_text()
