"""One loaded stack for the tests that let single things fail in the middle of a rotation."""

from collections.abc import Iterator

import pytest

from tests.e2e.loaded_stack import LoadedStack, open_loaded_stack


@pytest.fixture(scope="package")
def rotating_stack() -> Iterator[LoadedStack]:
    """A stack under load; each test leaves it as it found it."""
    with open_loaded_stack() as loaded:
        yield loaded
