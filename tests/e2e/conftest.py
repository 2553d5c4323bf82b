"""One stack under load for the tests that watch it; the others have the machine for themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.loaded_stack import LoadedStack, SharedStack, open_root
from tests.e2e.stolen import Theft, open_theft
from tests.integration.background import in_background

HERE: Final = Path(__file__).parent
WATCHERS: Final = (
    "test_outsiders.py",
    "test_doctor.py",
    "test_chain.py",
    "test_retirement.py",
    "test_authorisation.py",
    "test_broker_disk.py",
    "test_kills.py",
    "test_latecomers.py",
    "test_without_metadata.py",
)
"""They share one stack, so they come first and in this order: what takes minutes by the clock of
the rotations begins in an early one and is judged in a later one, before what was taken expires."""

SHARED: Final = pytest.StashKey[SharedStack]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [n for n, item in enumerate(items) if item.path.is_relative_to(HERE)]
    ours = sorted((items[n] for n in places), key=_rank)
    for place, item in zip(places, ours, strict=True):
        item.add_marker(pytest.mark.e2e)
        if _is_watching(item):
            item.add_marker(pytest.mark.xdist_group("watchers"))
        items[place] = item


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the shared stack behind the last test that watches it: its load costs the others."""
    if _is_watching(item) and (nextitem is None or not _is_watching(nextitem)):
        shared = item.config.stash.get(SHARED, None)
        if shared is not None:
            shared.end()


def _is_watching(item: pytest.Item) -> bool:
    return item.path.name in WATCHERS


def _rank(item: pytest.Item) -> int:
    return WATCHERS.index(item.path.name) if _is_watching(item) else len(WATCHERS)


@pytest.fixture(scope="session")
def shared_stack(pytestconfig: pytest.Config) -> Iterator[SharedStack]:
    shared = SharedStack()
    pytestconfig.stash[SHARED] = shared
    yield shared
    shared.end()


@pytest.fixture
def stack(shared_stack: SharedStack) -> LoadedStack:
    """The stack that all watching tests share."""
    return shared_stack.use()


@pytest.fixture(scope="session")
def theft(shared_stack: SharedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theft]:
    """A leaf that was taken early, since its issuer is trusted for a minute more."""
    folder = tmp_path_factory.mktemp("theft")
    with in_background(lambda: open_theft(shared_stack.use(), folder)) as stolen:
        yield stolen


@pytest.fixture(scope="session")
def late_theft(
    shared_stack: SharedStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Theft]:
    """The same, taken when the rotations have left that issuer behind but still trust it."""
    folder = tmp_path_factory.mktemp("late-theft")
    with in_background(lambda: open_theft(shared_stack.use(), folder)) as stolen:
        yield stolen


@pytest.fixture
def root(shared_stack: SharedStack) -> Iterator[Path]:
    """A directory for a stack of the test's own; no other stack runs meanwhile."""
    shared_stack.end()
    with open_root() as folder:
        yield folder / "var"
