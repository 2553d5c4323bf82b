"""OpenBao or NATS fails in the middle of a rotation: it holds, nothing is half done, it goes on.

OpenBao fails at the import of an intermediate: sealed, slow, answering errors, having lost what it
was asked or the answer to it, or killed. NATS loses its quorum while trust in an issuer spreads.
No acknowledged request is lost, and the rotation goes on by itself within seconds of the return.

A run of the suite takes one of all rotation faults, drawn by ``CHAOS_SEED``; ``CHAOS_ALL=1``
takes every one.
"""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from devstack.endpoints import port_of
from devstack.layout import SERVICES
from devstack.openbao_api import open_openbao_api
from svc_core.domain.identity import METADATA
from tests.chaos.openbao_proxy import OpenBaoProxy, open_openbao_proxy
from tests.chaos.rotation_story import (
    AWAY_S,
    GOES_ON_WITHIN,
    after_a_boundary,
    at,
    chosen,
    ordering,
    seconds,
    unharmed_load,
)
from tests.chaos.verdicts import as_metadata, log_fault, surplus_issuers
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.waiting import until

SLOW_S: Final = 10.0
IMPORT: Final = "nats_int/intermediate/set-signed"
USABLE: Final = 200
SEALED: Final = 503

LetFail = Callable[[LoadedStack, OpenBaoProxy], Awaitable[datetime]]
"""Lets OpenBao fail and return; returns when it was back."""


@dataclass(frozen=True, slots=True)
class Outage:
    """One way in which OpenBao fails."""

    let_fail: LetFail

    def __str__(self) -> str:
        return f"{self.let_fail.__name__} OpenBao"


async def slow(_stack: LoadedStack, proxy: OpenBaoProxy) -> datetime:
    """Let every request take ten seconds."""
    proxy.delay_s = SLOW_S
    await asyncio.sleep(AWAY_S)
    proxy.delay_s = 0.0
    # What waits still is answered late or never, as by a server that was slow.
    proxy.hang_up()
    return datetime.now(UTC)


async def erring(_stack: LoadedStack, proxy: OpenBaoProxy) -> datetime:
    """Answer everything with 500 and do nothing."""
    proxy.refuses = True
    await asyncio.sleep(AWAY_S)
    proxy.refuses = False
    return datetime.now(UTC)


async def forgetful(_stack: LoadedStack, proxy: OpenBaoProxy) -> datetime:
    """Do everything and answer it with 500."""
    proxy.loses_answers = True
    await asyncio.sleep(AWAY_S)
    proxy.loses_answers = False
    return datetime.now(UTC)


async def killed(stack: LoadedStack, _proxy: OpenBaoProxy) -> datetime:
    """Kill it; its supervisor starts and unseals it."""
    await restarted(stack, "openbao")
    return await usable(stack)


async def restarted(stack: LoadedStack, child: str) -> None:
    """Kill a child and wait until its supervisor has started it again."""
    before = stack.child(child).restarts
    stack.stack.kill(child, signal.SIGKILL)
    await until(
        lambda: stack.child(child).restarts > before, within_s=20, what=f"{child} running again"
    )


async def sealed(stack: LoadedStack, _proxy: OpenBaoProxy) -> datetime:
    """Kill it and keep it from being unsealed for a while: it answers 503."""
    key = stack.layout.openbao / "unseal.key"
    right = key.read_text()
    key.write_text("0" * len(right.strip()))
    try:
        await restarted(stack, "openbao")
        await asyncio.sleep(AWAY_S)
        assert await health(stack) == SEALED
    finally:
        key.write_text(right)
    return await usable(stack)


async def usable(stack: LoadedStack) -> datetime:
    """Wait until OpenBao is unsealed; return when it was seen to be."""

    async def is_usable() -> bool:
        return await health(stack) == USABLE

    await until(is_usable, within_s=30, what="OpenBao unsealed", every_s=0.05)
    return datetime.now(UTC)


async def health(stack: LoadedStack) -> int | None:
    """Return what OpenBao answers of itself; None when it does not."""
    async with open_openbao_api(stack.stack.endpoints.openbao.url, stack.layout.openbao_ca) as api:
        return await api.health()


OUTAGES: Final = [Outage(let_fail) for let_fail in (slow, erring, forgetful, killed, sealed)]


@asynccontextmanager
async def behind_a_proxy(stack: LoadedStack) -> AsyncIterator[OpenBaoProxy]:
    """Have every service reach OpenBao through a proxy, and directly again afterwards."""
    async with open_openbao_proxy(stack.stack) as proxy:
        direct = port_of(stack.stack.endpoints.openbao.url)
        await redirect(stack, direct, proxy.port)
        try:
            yield proxy
        finally:
            await redirect(stack, proxy.port, direct)


async def redirect(stack: LoadedStack, before: int, after: int) -> None:
    """Change where services look for OpenBao, and start them anew."""
    for service in SERVICES:
        path = stack.layout.service(service) / "config.yaml"
        text = path.read_text()
        assert f":{before}" in text
        path.write_text(re.sub(rf":{before}\b", f":{after}", text))
        await restarted(stack, service)

    async def all_ready() -> bool:
        return all([await stack.stack.is_ready(name) for name in SERVICES])

    await until(all_ready, within_s=45, what="every service ready")


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("outage", chosen(OUTAGES))
async def test_openbao_fails_in_the_middle_of_an_import_and_the_rotation_goes_on(
    rotating_stack: LoadedStack, outage: Outage, tmp_path: Path
) -> None:
    stack = rotating_stack
    async with unharmed_load(stack, "store", tmp_path), behind_a_proxy(stack) as proxy:
        await fails_at_the_import(stack, proxy, outage, tmp_path)
    assert await log_fault(stack.layout) is None


async def fails_at_the_import(
    stack: LoadedStack, proxy: OpenBaoProxy, outage: Outage, notes: Path
) -> None:
    """Nothing of the issuer is used before it is whole; then the rotation goes on by itself."""
    story = await after_a_boundary(stack)
    struck = asyncio.Event()

    async def strike() -> None:
        struck.set()

    proxy.noticed, proxy.trigger, proxy.troubled = strike, IMPORT, 0
    async with ordering(stack, notes / "order", "rotate", "ca") as running:
        async with asyncio.timeout(20):
            await struck.wait()
        returned_at = await outage.let_fail(stack, proxy)
        staged = await story.saw(METADATA, "issuer.staged", within_s=30)
        activated = await story.saw(METADATA, "issuer.activated", within_s=30)
        await running.ended(within_s=60)
    took = at(staged) - returned_at
    print(  # noqa: T201
        f"{outage}: {proxy.troubled} requests troubled; went on after {seconds(took)}, "
        f"active after {seconds(at(activated) - returned_at)}"
    )
    assert took <= GOES_ON_WITHIN
    assert staged["issuer"] == activated["issuer"]
    await story.saw(METADATA, "ca.rotated", within_s=45)
    assert stack.order is not None
    await stack.answers_again(stack.order, after=at(activated))
    async with as_metadata(stack.layout) as api:
        assert max((await surplus_issuers(api)).values(), default=0) <= 1
