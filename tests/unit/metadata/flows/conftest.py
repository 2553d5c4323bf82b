"""What is meant for a thread works inline here, so that virtual time stands still for it."""

import pytest

from tests.authority import without_threads


@pytest.fixture(autouse=True)
async def inline_threads() -> None:
    without_threads()
