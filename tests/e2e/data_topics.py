"""The data topics of a running stack: who says what where, and where it lies."""

from typing import Final

from devstack.layout import NODES
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, ServiceName, Subject
from svc_core.domain.keys import KeyRing
from svc_core.domain.subjects import (
    AUTH_DURABLE,
    AUTH_REQUEST,
    AUTH_STREAM,
    GATEKEEPER_DURABLE,
    GATEKEEPER_STREAM,
    RESPONDER,
)
from tests.e2e.broker_disk import KeptMessage, messages
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.loot import ask_for_bundle
from tests.e2e.outsider import as_service


class Topic:
    """One data topic: who says something on it, who hears it, and where it lies."""

    def __init__(self, name: Subject, producer: ServiceName, stream: str, durable: str) -> None:
        self.name = name
        self.producer = producer
        self.consumer = AUTHCONTROLLER if producer == GATEKEEPER else GATEKEEPER
        self.stream = stream
        self.next_message = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self.other_ways = (
            f"$JS.API.STREAM.MSG.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}.{name}",
            f"$JS.API.CONSUMER.CREATE.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.spy.{name}",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.spy",
        )


TOPICS: Final = (
    Topic(AUTH_REQUEST, GATEKEEPER, AUTH_STREAM, AUTH_DURABLE),
    Topic(RESPONDER, AUTHCONTROLLER, GATEKEEPER_STREAM, GATEKEEPER_DURABLE),
)


def on_disk(stack: LoadedStack, topic: Topic, node: str = NODES[0]) -> list[KeptMessage]:
    """Return what one node has of a topic from the load of now, oldest first."""
    assert stack.order is not None
    run = stack.order.run_id
    kept = messages(stack.layout.node(node), "HUB", topic.stream)
    return [m for m in kept if m.headers.get("Nats-Msg-Id", "").startswith(run)]


async def bundle_of(stack: LoadedStack, service: ServiceName) -> KeyRing:
    """Return the ring of a service that has one."""
    async with as_service(stack.layout, service) as outsider:
        ring = await ask_for_bundle(stack, service, outsider)
    assert ring is not None
    return ring
