"""A server through which most of the others are not heard is left, if through another they are."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from services.watcher.adapters.system_account import NatsSystemAccount
from svc_core.adapters.nats_connection import NatsConnection
from svc_core.adapters.nats_link import NatsLink
from svc_core.domain.stranding import Stranding

SERVERS = 3


class HeardConnection:
    """A connection through which so many servers are heard; more after a move."""

    def __init__(self, heard: int, *, elsewhere: int = 0) -> None:
        self.heard = heard
        self._elsewhere = elsewhere
        self.tried: list[tuple[Stranding, float]] = []

    async def request_all(
        self, _subject: str, _payload: bytes, *, expected: int, window_s: float
    ) -> list[bytes]:
        return [varz(f"n{number}") for number in range(min(self.heard, expected))]

    async def move_if(
        self, _is_better: Callable[[NatsLink], Awaitable[bool]], reason: Stranding
    ) -> bool:
        self.tried.append((reason, asyncio.get_running_loop().time()))
        has_moved = self._elsewhere > self.heard
        self.heard = max(self.heard, self._elsewhere)
        return has_moved


def varz(name: str) -> bytes:
    answer = {"server": {"name": name, "id": "ID"}, "data": {"config_load_time": "now"}}
    return json.dumps(answer).encode()


def account_of(connection: HeardConnection) -> NatsSystemAccount:
    return NatsSystemAccount(cast(NatsConnection, connection), SERVERS)


@pytest.mark.parametrize("heard", [2, 3])
async def test_a_server_through_which_most_are_heard_is_kept(heard: int) -> None:
    connection = HeardConnection(heard, elsewhere=3)

    assert len(await account_of(connection).fetch_facts()) == heard
    assert connection.tried == []


@pytest.mark.parametrize("heard", [0, 1])
async def test_who_hears_most_of_them_nowhere_looks_elsewhere_at_once(heard: int) -> None:
    connection = HeardConnection(heard, elsewhere=2)

    assert len(await account_of(connection).fetch_facts()) == 2
    assert connection.tried == [(Stranding.ALONE, 0.0)]


async def test_without_a_majority_anywhere_it_is_tried_ever_less_often() -> None:
    connection = HeardConnection(1)
    system = account_of(connection)
    for _ in range(600):
        await system.fetch_facts()
        await asyncio.sleep(1)

    tries = [at for _, at in connection.tried]
    assert len(tries) <= 6 + 600 / 60
    assert tries[-1] - tries[-2] >= 59
