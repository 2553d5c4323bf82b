"""Metadata is frozen and stays so: services that start meanwhile find their keys in OpenBao."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.waiting import until

SERVICES: Final = (GATEKEEPER, AUTHCONTROLLER)
KEEPS_WITHIN_S: Final = 45.0
"""Two key periods and a little: a bundle is kept within a lead of the start."""


def events(stack: LoadedStack, service: str, name: str, *, since: datetime) -> list[dict[str, Any]]:
    """Return what a service logged under ``name`` from an instant on."""
    lines = stack.layout.log_of(service).read_text().splitlines()
    found = [json.loads(line) for line in lines if f'"{name}"' in line]
    return [
        event
        for event in found
        if event["event"] == name and datetime.fromisoformat(event["ts"]) >= since
    ]


@asynccontextmanager
async def frozen(stack: LoadedStack, name: str) -> AsyncIterator[None]:
    """Freeze one child meanwhile."""
    stack.stack.kill(name, signal.SIGSTOP)
    try:
        yield
    finally:
        stack.stack.kill(name, signal.SIGCONT)


async def restart(stack: LoadedStack, service: str) -> None:
    """Kill one service and wait until it is back and ready."""
    before = stack.child(service)
    stack.stack.kill(service, signal.SIGKILL)

    def is_back() -> bool:
        now = stack.child(service)
        return now.restarts == before.restarts + 1 and now.is_running

    await until(is_back, within_s=15, what=f"{service} running again")
    await until(lambda: stack.stack.is_ready(service), within_s=30, what=f"{service} ready again")


@pytest.mark.timeout(240)
async def test_services_restarted_while_metadata_is_away_have_keys_and_lose_nothing(
    stack: LoadedStack,
) -> None:
    order = stack.order_load("without-metadata")
    await stack.answers_again(order, after=order.starts_at)

    def is_kept() -> bool:
        kept = events(stack, METADATA, "bundles.kept", since=order.starts_at)
        return {event["of"] for event in kept} == set(SERVICES)

    await until(is_kept, within_s=KEEPS_WITHIN_S, what="a bundle kept for every service")
    frozen_at = datetime.now(UTC)
    async with frozen(stack, METADATA):
        for service in SERVICES:
            await restart(stack, service)
            await stack.answers_again(order, after=datetime.now(UTC))
        recovered = {s: events(stack, s, "bundle.recovered", since=frozen_at) for s in SERVICES}
    rotation = await stack.next_rotation(since=frozen_at)
    await stack.answers_again(order, after=rotation.boundary_at)
    stack.order_load("standing")
    traffic = await stack.account(order)

    assert {service: bool(found) for service, found in recovered.items()} == dict.fromkeys(
        SERVICES, True
    )
    assert not traffic.lost
    assert not traffic.duplicated
    assert not traffic.unasked
    assert stack.child(METADATA).is_running
