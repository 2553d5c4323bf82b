"""Loaded stacks for the tests that let single things fail, each shared by one module."""

from collections.abc import Iterator

import pytest

from tests.chaos.short_profiles import SKEWED
from tests.chaos.short_stack import open_short_stack
from tests.e2e.loaded_stack import LoadedStack, open_loaded_stack, open_root


@pytest.fixture(scope="module")
def rotating_stack() -> Iterator[LoadedStack]:
    """A stack under load; each test leaves it as it found it.

    Not of the package: in a folder that is none that would be the whole run, with all its load.
    """
    with open_loaded_stack() as loaded:
        yield loaded


@pytest.fixture(scope="module")
def brief_stack() -> Iterator[LoadedStack]:
    """A stack of the shortest profile under load, for sleep; left as it was found."""
    with open_root() as root, open_short_stack(root / "var") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def skewed_stack() -> Iterator[LoadedStack]:
    """The same for clocks that differ."""
    with open_root() as root, open_short_stack(root / "var", SKEWED) as loaded:
        yield loaded
