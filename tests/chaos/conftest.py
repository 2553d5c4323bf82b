"""One loaded stack for the tests that let single things fail in the middle of a rotation."""

from collections.abc import Iterator

import pytest

from tests.e2e.loaded_stack import LoadedStack, open_loaded_stack


@pytest.fixture(scope="module")
def rotating_stack() -> Iterator[LoadedStack]:
    """A stack under load; each test leaves it as it found it.

    Not of the package: in a folder that is none that would be the whole run, with all its load.
    """
    with open_loaded_stack() as loaded:
        yield loaded
