"""A server that takes nothing is left for one that does, and only then; seldom, if nobody does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import structlog

from svc_core.domain.stranding import Stranding
from svc_core.errors import BusError, StreamFullError, UnacknowledgedError
from tests.unit.svc_core.adapters.scripted_broker import make_settings
from tests.unit.svc_core.adapters.scripted_servers import (
    LOOK_S,
    STRANDED,
    Cluster,
    State,
    StrandedClient,
)

PATIENCE_S = 3.0
ATTEMPT_S = 1.0
OPENED_WITHIN_S = 1.0


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def client_of(cluster: Cluster, **changes: object) -> AsyncIterator[StrandedClient]:
    settings = make_settings(stranded_after=timedelta(seconds=PATIENCE_S), **changes)
    client = StrandedClient(cluster, settings)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(client.run())
        yield client
        running.cancel()


@pytest.mark.parametrize("state", STRANDED)
async def test_what_a_server_does_not_take_is_taken_elsewhere(state: State) -> None:
    cluster = Cluster()
    cluster.states["a"] = state
    async with client_of(cluster) as client:
        await client.outcome("m")

    assert [(reason, url) for reason, url, _ in client.moves] == [(STRANDED[state], "b")]
    assert cluster.stored == ["m"]
    assert cluster.opened[0][1] >= PATIENCE_S
    assert now() <= PATIENCE_S + LOOK_S + ATTEMPT_S + 2.0


async def test_as_long_as_everything_is_acknowledged_nobody_else_is_asked() -> None:
    cluster = Cluster()
    async with client_of(cluster) as client:
        for number in range(100):
            await client.outcome(str(number))
            await asyncio.sleep(1)

    assert (cluster.opened, client.moves) == ([], [])


async def test_a_moment_without_a_leader_is_no_reason_to_ask_elsewhere() -> None:
    cluster = Cluster()
    cluster.states["a"] = State.SILENT
    async with client_of(cluster) as client, asyncio.TaskGroup() as group:
        group.create_task(client.outcome("m"))
        await asyncio.sleep(PATIENCE_S - 1.5 * ATTEMPT_S)
        cluster.states["a"] = State.TAKING

    assert cluster.opened == []


@pytest.mark.parametrize("state", STRANDED)
async def test_without_a_majority_nobody_moves_and_others_are_asked_ever_less_often(
    state: State,
) -> None:
    cluster = Cluster(dict.fromkeys("abc", state))
    async with client_of(cluster) as client:
        for number in range(6):
            assert isinstance(await client.outcome(str(number)), BusError)
        asked = len(cluster.opened)
        cluster.states = dict.fromkeys("abc", State.TAKING)
        assert await client.outcome("afterwards") is True

    assert now() > 500
    assert client.moves == []
    # Both others after 3, 3, 6, 12, 24 and 48 s or half of these, and then twice a minute at most.
    assert asked <= 2 * (6 + now() / 30)
    assert cluster.closed == len(cluster.opened)


async def test_it_is_said_that_no_other_server_takes_it_either() -> None:
    cluster = Cluster(dict.fromkeys("abc", State.SILENT))
    with structlog.testing.capture_logs() as logs:
        async with client_of(cluster, publish_deadline=timedelta(seconds=6)) as client:
            await client.outcome("m")

    (said,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert said.pop("silent_s") >= PATIENCE_S
    assert said == {
        "event": "connection.stranded",
        "log_level": "warning",
        "url": "a",
        "reason": "silence",
        "tries": 1,
    }


async def test_a_frozen_server_is_not_waited_for_long() -> None:
    cluster = Cluster()
    cluster.states |= {"a": State.SILENT, "b": State.FROZEN}
    async with client_of(cluster) as client:
        await client.outcome("m")

    ((_, found, at),) = client.moves
    assert found == "c"
    assert at <= PATIENCE_S + 2 * LOOK_S + OPENED_WITHIN_S + ATTEMPT_S


async def test_who_is_served_again_meanwhile_stays() -> None:
    cluster = Cluster(opening_s=OPENED_WITHIN_S / 2)
    cluster.states["a"] = State.SILENT
    async with client_of(cluster) as client, asyncio.TaskGroup() as group:
        group.create_task(client.outcome("m"))
        await asyncio.sleep(PATIENCE_S + LOOK_S)
        assert [url for url, _ in cluster.opened] == ["b"]
        cluster.states["a"] = State.TAKING
        await client.outcome("n")
        await asyncio.sleep(5)

    assert client.moves == []
    assert (len(cluster.opened), cluster.closed) == (1, 1)


async def test_one_topic_whose_leader_is_out_of_reach_is_enough() -> None:
    cluster = Cluster(silent_topics={"t"})
    async with client_of(cluster) as client, asyncio.TaskGroup() as group:
        group.create_task(client.outcome("m", topic="t"))
        for number in range(40):
            await client.outcome(str(number), topic="u")
            await asyncio.sleep(0.1)

    assert [(reason, url) for reason, url, _ in client.moves] == [(Stranding.SILENCE, "b")]


async def test_messages_that_their_callers_give_up_are_evidence_too() -> None:
    cluster = Cluster()
    cluster.states["a"] = State.SILENT
    async with client_of(cluster) as client:
        for number in range(3):
            await client.outcome(f"status {number}", key="k", within_s=1.0)
            await asyncio.sleep(14)

    assert [url for _, url, _ in client.moves] == ["b"]
    assert cluster.stored[-1] == "status 2"


async def test_nobody_is_tried_with_a_message_that_was_given_up() -> None:
    cluster = Cluster()
    cluster.states["a"] = State.SILENT
    async with client_of(cluster) as client:
        await client.outcome("status", within_s=1.0)
        await asyncio.sleep(20)

    assert (cluster.opened, client.moves) == ([], [])


async def test_another_link_to_the_same_server_gets_all_of_the_patience() -> None:
    cluster = Cluster()
    cluster.states["a"] = State.SILENT
    swapped_at = PATIENCE_S - 1.5 * LOOK_S
    async with client_of(cluster) as client, asyncio.TaskGroup() as group:
        group.create_task(client.outcome("m"))
        await asyncio.sleep(swapped_at)
        client.swap()

    assert [url for _, url, _ in client.moves] == ["b"]
    assert cluster.opened[0][1] >= swapped_at + PATIENCE_S


async def test_a_full_stream_has_answered() -> None:
    cluster = Cluster()
    async with client_of(cluster) as client, asyncio.TaskGroup() as group:
        cluster.states["a"] = State.SILENT
        group.create_task(client.outcome("m", within_s=5.0))
        await asyncio.sleep(PATIENCE_S - 1.5 * LOOK_S)
        cluster.states["a"] = State.FULL
        assert isinstance(await client.outcome("n"), StreamFullError)
        cluster.states["a"] = State.SILENT
        await asyncio.sleep(PATIENCE_S / 2)
        assert cluster.opened == []


async def test_who_is_told_elsewhere_that_the_stream_is_full_is_better_off_there() -> None:
    cluster = Cluster()
    cluster.states |= {"a": State.SILENT, "b": State.FULL}
    async with client_of(cluster) as client:
        assert isinstance(await client.outcome("m"), StreamFullError)

    assert [url for _, url, _ in client.moves] == ["b"]


async def test_a_message_that_another_server_was_tried_with_may_be_stored() -> None:
    cluster = Cluster({"a": State.NOBODY, "b": State.SILENT})
    async with client_of(cluster, publish_deadline=timedelta(seconds=10)) as client:
        assert isinstance(await client.outcome("m"), UnacknowledgedError)


async def test_a_message_that_was_refused_everywhere_is_not_stored() -> None:
    cluster = Cluster({"a": State.NOBODY})
    async with client_of(cluster, publish_deadline=timedelta(seconds=10)) as client:
        found = await client.outcome("m")

    assert isinstance(found, BusError)
    assert not isinstance(found, UnacknowledgedError)
