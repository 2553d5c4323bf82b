"""A pull that the broker leaves open is told; one that it answers, with whatever, is not."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from svc_core.adapters.nats_link import NatsLink
from svc_core.adapters.nats_pulls import Intake, Pull
from svc_core.domain.subjects import AUTH_DURABLE, AUTH_STREAM
from svc_core.ports.bus import Binding

BINDING = Binding(AUTH_STREAM, AUTH_DURABLE)
EXPIRES_S = 0.5
GRACE_S = 1.0


class PulledLink:
    """A link whose server answers every pull with one status, or with nothing."""

    is_lost = False

    def __init__(self, status: str | None) -> None:
        self._status = status
        self._deliver: Callable[[Msg], Awaitable[None]] | None = None
        self.pulls = 0

    def new_inbox(self) -> str:
        return "_INBOX.x"

    async def subscribe(self, _subject: str, callback: Callable[[Msg], Awaitable[None]]) -> object:
        self._deliver = callback
        return object()

    async def unsubscribe(self, _subscription: object) -> None:
        self._deliver = None

    async def send(self, _subject: str, _payload: bytes, *, reply: str) -> None:
        self.pulls += 1
        if self._status is not None and self._deliver is not None:
            headers = {"Status": self._status}
            await self._deliver(Msg(cast(Client, None), reply, "", b"", headers))
            await asyncio.sleep(EXPIRES_S)


async def silences_within(seconds: float, link: PulledLink) -> int:
    """Return how often a pull over ``link`` was told to be silent."""
    told: list[float] = []
    pull = Pull(
        BINDING,
        cast(NatsLink, link),
        Intake(BINDING),
        lambda: told.append(asyncio.get_running_loop().time()),
    )
    await pull.open()
    async with asyncio.TaskGroup() as group:
        pull.start(group)
        await asyncio.sleep(seconds)
        await pull.stop()
    return len(told)


async def test_a_pull_without_any_answer_is_silence() -> None:
    link = PulledLink(None)

    assert await silences_within(10, link) == link.pulls
    assert link.pulls >= 10 / (EXPIRES_S + GRACE_S)


async def test_where_nobody_is_to_answer_there_is_silence() -> None:
    link = PulledLink("503")

    assert await silences_within(10, link) == link.pulls > 0


@pytest.mark.parametrize("status", ["404", "408", "409"])
async def test_an_answer_that_there_is_nothing_is_no_silence(status: str) -> None:
    link = PulledLink(status)

    assert await silences_within(10, link) == 0
    assert link.pulls > 0
