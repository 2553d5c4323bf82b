"""The loop that services run on, and NATS with the streams and durables they use."""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop

from tests.integration.background import complete
from tests.integration.bare_stack import RunningCluster
from tests.integration.connections import declare, drain


@pytest.fixture(scope="session")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
    return policy


@pytest.fixture(scope="module")
def declared(nats_cluster: RunningCluster) -> Iterator[RunningCluster]:
    """The cluster with every stream and durable; what a module leaves in them is taken out."""
    complete(lambda: declare(nats_cluster))
    yield nats_cluster
    complete(lambda: drain(nats_cluster))
