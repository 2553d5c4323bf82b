"""Real servers for the integration tests, started once per session."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.background import in_background
from tests.integration.bare_stack import (
    RunningCluster,
    RunningOpenBao,
    open_bare_cluster,
    open_bare_openbao,
)

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def server_root() -> Iterator[Path]:
    """A directory that servers without rights can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="st-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        yield root


@pytest.fixture(scope="session")
def openbao(server_root: Path) -> Iterator[RunningOpenBao]:
    """A bootstrapped OpenBao with every AppRole's credentials, for the whole session."""
    with in_background(lambda: open_bare_openbao(server_root / "bare")) as running:
        yield running


@pytest.fixture(scope="session")
def nats_cluster(openbao: RunningOpenBao) -> Iterator[RunningCluster]:
    """Three NATS nodes with the default accounts and certificates of every user."""
    with in_background(lambda: open_bare_cluster(openbao)) as running:
        yield running
