"""What every test may rely on: virtual time under ``unit/``, and examples that repeat.

Run by several processes at once (``-n``), the tests of one file stay together: they share servers.
"""

from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
UNIT = HERE / "unit"
UNIT_TIMEOUT_S = 20

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests under ``unit/`` virtual time and a short time-out.

    Real sockets need real time, so nothing else is marked.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(HERE))))
        if item.path.is_relative_to(UNIT):
            item.add_marker(pytest.mark.looptime(start=0))
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(UNIT_TIMEOUT_S))
