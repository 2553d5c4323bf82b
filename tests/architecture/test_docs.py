"""Documentation that cannot go stale unnoticed: links resolve, generated pages are current."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from scripts import gen_events, gen_settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
EXTERNAL = ("http://", "https://", "mailto:")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    headings = HEADING.findall(CODE.sub("", page.read_text()))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in kept}


def is_broken(page: Path, link: str) -> bool:
    file, _, anchor = link.partition("#")
    target = (page.parent / file).resolve() if file else page
    if not target.exists():
        return True
    return bool(anchor) and target.suffix == ".md" and anchor not in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [first or second for first, second in LINK.findall(CODE.sub("", page.read_text()))]

    inside = [link for link in links if not link.startswith(EXTERNAL)]

    assert [link for link in inside if is_broken(page, link)] == []


@pytest.mark.parametrize("generator", [gen_settings, gen_events], ids=lambda g: g.__name__)
def test_generated_pages_are_current(generator: ModuleType) -> None:
    page: Path = generator.PAGE

    assert page.read_text() == generator.render(), "run `just generate`"
