"""The loop that services run on, and NATS with the streams and durables they use."""

import asyncio

import pytest
import uvloop

from tests.integration.background import complete
from tests.integration.bare_stack import RunningCluster
from tests.integration.connections import declare


@pytest.fixture(scope="session")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
    return policy


@pytest.fixture(scope="session")
def declared(nats_cluster: RunningCluster) -> RunningCluster:
    """The cluster with every stream and durable."""
    complete(lambda: declare(nats_cluster))
    return nats_cluster
