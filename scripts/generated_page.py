"""What every generator of a reference page does with the page it made."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent


def run(page: Path, render: Callable[[], str], description: str | None) -> int:
    """Write ``page``, or with ``--check`` write nothing and return 1 when it is stale."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    arguments = parser.parse_args()
    text = render()
    if arguments.check:
        return int(not page.exists() or page.read_text() != text)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text)
    return 0
