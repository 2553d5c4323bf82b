"""A connection is replaced under load: nothing lost, nothing doubled, no moment without one."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from svc_core.adapters.nats_client import abort
from svc_core.adapters.nats_connection import NatsConnection, NatsUser
from svc_core.adapters.nats_link import LinkCredentials
from svc_core.config import NatsSettings
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.subjects import AUTH_REQUEST, CA_CERT, CA_STREAM
from svc_core.errors import BusError, SvcError, UnacknowledgedError
from tests.integration.bare_stack import RunningCluster, RunningOpenBao, issue_client
from tests.integration.connections import connected, credentials_of, wired
from tests.integration.svc_core.traffic import Traffic, report
from tests.tls_materials import make_material, new_issuer

RATE = 500.0
SWAPS = 10
QUIET_COUNT = 1000


class Leaf:
    """The newest certificate of one user, issued by OpenBao."""

    def __init__(self, openbao: RunningOpenBao, cluster: RunningCluster, account: str) -> None:
        self._openbao = openbao
        self._account = account
        self.material = cluster.materials[account]

    async def renew(self) -> None:
        async with self._openbao.logged_in(self._account) as session:
            self.material = await issue_client(session, self._account, self.material.trust_pem)

    def credentials(self) -> LinkCredentials:
        return credentials_of(self.material)


def around_the_first(cluster: RunningCluster) -> NatsSettings:
    """Return settings of somebody who never meets the first node."""
    return cluster.settings.model_copy(update={"servers": cluster.settings.servers[1:]})


def has_lost(connection: NatsConnection, times: int) -> bool:
    return connection.losses >= times


def is_back(connection: NatsConnection) -> bool:
    return connection.is_connected


async def settled(condition: Callable[[], bool], *, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.timeout(60)
async def test_ten_swaps_of_both_ends_under_load_lose_and_double_nothing(
    declared: RunningCluster,
    openbao: RunningOpenBao,
) -> None:
    asker, answerer = Leaf(openbao, declared, GATEKEEPER), Leaf(openbao, declared, AUTHCONTROLLER)
    quiet, busy = Traffic(f"quiet{os.getpid()}"), Traffic(f"swapped{os.getpid()}")
    async with (
        connected(declared, GATEKEEPER, credentials=asker.credentials) as gatekeeper,
        connected(declared, AUTHCONTROLLER, credentials=answerer.credentials) as authcontroller,
    ):
        async with quiet.consumed(authcontroller):
            await quiet.publish(gatekeeper, QUIET_COUNT, rate=RATE)
            await quiet.wait_for(QUIET_COUNT, within_s=10)
        swapped = asyncio.Event()
        async with busy.consumed(authcontroller), asyncio.TaskGroup() as group:
            publishing = group.create_task(
                busy.publish(gatekeeper, QUIET_COUNT, rate=RATE, until=swapped)
            )
            for _ in range(SWAPS):
                for leaf, connection in ((asker, gatekeeper), (answerer, authcontroller)):
                    await leaf.renew()
                    await connection.swap()
                    assert connection.leaf_in_use == leaf.material.chain_pem
            swapped.set()
            await publishing
            await busy.wait_for(len(busy.acked), within_s=20)

    report(quiet_gap_ms=quiet.longest_gap_ms(), swapped_gap_ms=busy.longest_gap_ms())
    assert (busy.lost, busy.doubled, busy.refused) == (set(), [], [])
    assert len(busy.acked) >= QUIET_COUNT
    assert (gatekeeper.swaps, authcontroller.swaps) == (SWAPS, SWAPS)
    assert (gatekeeper.losses, authcontroller.losses) == (0, 0)


async def test_a_new_connection_that_fails_leaves_the_old_one_working(
    declared: RunningCluster,
) -> None:
    own = declared.materials[GATEKEEPER]
    stranger = make_material(new_issuer(), trusted=[new_issuer()])
    untrusted = LinkCredentials(credentials_of(own).context, "untrusted", "")
    offered = [credentials_of(own)]
    traffic = Traffic(f"untrusted{os.getpid()}")
    async with (
        connected(declared, GATEKEEPER, credentials=lambda: offered[-1]) as gatekeeper,
        connected(declared, AUTHCONTROLLER) as authcontroller,
        traffic.consumed(authcontroller),
    ):
        offered.append(credentials_of(stranger))
        with pytest.raises(BusError):
            await gatekeeper.swap()
        assert gatekeeper.leaf_in_use == own.chain_pem

        await traffic.publish(gatekeeper, 50, rate=RATE)
        await traffic.wait_for(50, within_s=5)

        offered.append(untrusted)
        await gatekeeper.swap()
        assert (gatekeeper.swaps, gatekeeper.losses) == (1, 0)
    assert (traffic.lost, traffic.doubled) == (set(), [])


async def test_a_swap_goes_elsewhere_when_its_server_does_not_even_shake_hands(
    declared: RunningCluster,
) -> None:
    traffic = Traffic(f"frozen{os.getpid()}")
    async with (
        wired(declared) as (wire, near),
        connected(declared, AUTHCONTROLLER, settings=around_the_first(declared)) as authcontroller,
        traffic.consumed(authcontroller),
    ):
        patient = near.model_copy(
            update={
                "servers": (*near.servers, declared.settings.servers[1]),
                "connect_timeout": timedelta(seconds=60),
            }
        )
        async with connected(declared, GATEKEEPER, settings=patient, entropy=bytes) as gatekeeper:
            former = gatekeeper.current_link
            assert former is not None
            assert former.url == near.servers[0]
            wire.freeze()
            async with asyncio.timeout(20):
                await gatekeeper.swap()
                await traffic.publish(gatekeeper, 20, rate=RATE)
            await traffic.wait_for(20, within_s=5)
            wire.thaw()

        assert gatekeeper.swaps == 1
        await settled(lambda: wire.is_idle, within_s=5)


async def test_a_link_that_is_cut_is_replaced_and_nothing_acknowledged_is_lost(
    declared: RunningCluster,
) -> None:
    traffic = Traffic(f"cut{os.getpid()}")
    async with (
        wired(declared) as (wire, settings),
        connected(declared, GATEKEEPER, settings=settings) as gatekeeper,
        connected(declared, AUTHCONTROLLER, settings=settings) as authcontroller,
        traffic.consumed(authcontroller),
        asyncio.TaskGroup() as group,
    ):
        publishing = group.create_task(traffic.publish(gatekeeper, 1000, rate=RATE))
        for cut in range(1, 4):
            await asyncio.sleep(0.3)
            wire.cut()
            for end in (gatekeeper, authcontroller):
                await settled(partial(has_lost, end, cut), within_s=5)
            for end in (gatekeeper, authcontroller):
                await settled(partial(is_back, end), within_s=5)
        await publishing
        # What was on its way to a consumer whose link died comes again after the ack wait.
        await traffic.wait_for(1000, within_s=14)

    report(longest_gap_ms=traffic.longest_gap_ms())
    assert traffic.lost == set()
    assert gatekeeper.losses >= 3
    assert authcontroller.losses >= 3


async def test_consumers_that_stop_under_load_hand_back_what_they_have_not_done(
    declared: RunningCluster,
) -> None:
    traffic = Traffic(f"stopped{os.getpid()}")
    async with (
        connected(declared, GATEKEEPER) as gatekeeper,
        connected(declared, AUTHCONTROLLER) as authcontroller,
        asyncio.TaskGroup() as group,
    ):
        publishing = group.create_task(traffic.publish(gatekeeper, 1000, rate=RATE))
        while not publishing.done():
            async with traffic.consumed(authcontroller):
                await asyncio.sleep(0.3)
        async with traffic.consumed(authcontroller):
            await traffic.wait_for(1000, within_s=5)

    report(longest_gap_ms=traffic.longest_gap_ms())
    assert traffic.lost == set()


async def test_after_a_cut_publishing_goes_on_at_once(
    declared: RunningCluster,
) -> None:
    traffic = Traffic(f"resumed{os.getpid()}")
    loop = asyncio.get_running_loop()
    async with (
        wired(declared) as (wire, settings),
        connected(declared, AUTHCONTROLLER, settings=settings) as authcontroller,
        traffic.consumed(authcontroller),
    ):
        await asyncio.sleep(0.2)
        wire.cut()
        # Not "is not connected": the next link can be there before anyone looks.
        await settled(lambda: authcontroller.losses > 0, within_s=2)
        began = loop.time()
        await authcontroller.publish("gatekeeper.responder", b"x", message_id=traffic.run)

        resumed_s = loop.time() - began
        report(resumed_s=round(resumed_s, 3))
        assert resumed_s < 1.0


async def test_a_new_link_that_is_lost_while_the_former_runs_out_is_replaced_at_once(
    declared: RunningCluster,
) -> None:
    async with (
        connected(declared, AUTHCONTROLLER) as authcontroller,
        asyncio.TaskGroup() as group,
    ):
        former = authcontroller.current_link
        assert former is not None
        # An answer that never comes: for two seconds the former has something to wait for.
        stuck = former._answers.expect("nobody", "nothing", timeout_s=9)
        stuck.add_done_callback(asyncio.Future.exception)
        swapping = group.create_task(authcontroller.swap())
        await settled(lambda: authcontroller.swaps == 1, within_s=5)
        fresh = authcontroller.current_link
        assert fresh is not None
        abort(fresh._client)
        await settled(lambda: authcontroller.current_link not in {fresh, None}, within_s=5)

        assert not swapping.done()


@pytest.mark.timeout(60)
async def test_a_link_that_falls_silent_is_given_up(declared: RunningCluster) -> None:
    async with (
        wired(declared) as (wire, settings),
        connected(declared, GATEKEEPER, settings=settings) as gatekeeper,
    ):
        wire.freeze()
        await settled(lambda: not gatekeeper.is_connected, within_s=8)
        wire.thaw()
        wire.cut()
        await settled(lambda: gatekeeper.is_connected, within_s=10)

        await gatekeeper.fetch_last(CA_STREAM, CA_CERT)


async def test_nothing_waits_beyond_its_deadline_for_a_server_that_takes_nothing(
    declared: RunningCluster,
) -> None:
    async with (
        wired(declared) as (wire, settings),
        connected(
            declared,
            GATEKEEPER,
            settings=settings.model_copy(update={"publish_deadline": timedelta(seconds=2)}),
        ) as gatekeeper,
    ):
        wire.freeze()
        # More than the client, the kernel and the wire between them take.
        payload = bytes(60 << 10)

        async def publish(number: int) -> SvcError | None:
            try:
                await gatekeeper.publish(
                    AUTH_REQUEST, payload, message_id=f"stuffed{os.getpid()}-{number}"
                )
            except SvcError as err:
                return err
            return None

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            tasks = [group.create_task(publish(number)) for number in range(300)]
        wire.thaw()

    assert {type(task.result()) for task in tasks} <= {UnacknowledgedError, BusError}
    assert (gatekeeper.publishing.in_flight, gatekeeper.publishing.waiting) == (0, 0)


async def test_a_close_that_is_cut_short_leaves_no_socket_open(declared: RunningCluster) -> None:
    own = declared.materials[GATEKEEPER]
    async with wired(declared) as (wire, settings):
        connection = NatsConnection(
            settings, NatsUser(GATEKEEPER, "cut-short"), lambda: credentials_of(own), os.urandom
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(connection.run())
            await settled(lambda: connection.is_connected, within_s=5)
            running.cancel()
        wire.freeze()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.close()
        wire.thaw()

        await settled(lambda: wire.is_idle, within_s=2)


async def test_nothing_is_left_unobserved_when_a_link_dies_under_load(
    declared: RunningCluster,
) -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: complaints.append(what))
    traffic = Traffic(f"observed{os.getpid()}")
    async with (
        wired(declared) as (wire, settings),
        connected(declared, GATEKEEPER, settings=settings) as gatekeeper,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(traffic.publish(gatekeeper, 300, rate=3 * RATE))
        await asyncio.sleep(0.1)
        wire.cut()

    assert len(traffic.acked) == 300
    # The client library's own tasks can die of the cut; the link is found lost all the same.
    assert [c for c in complaints if isinstance(c.get("exception"), SvcError)] == []


async def test_consumers_that_come_and_go_never_break_a_swap(declared: RunningCluster) -> None:
    traffic = Traffic(f"comers{os.getpid()}")

    async def come_and_go(bus: NatsConnection, stay_s: float) -> None:
        async with traffic.consumed(bus):
            await asyncio.sleep(stay_s)

    async with connected(declared, AUTHCONTROLLER) as authcontroller:
        for round_number in range(12):
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                swapping = group.create_task(authcontroller.swap())
                for guest in range(4):
                    stay_s = 0.0 if guest == 0 else 0.004 * guest * round_number
                    group.create_task(come_and_go(authcontroller, stay_s))
                await swapping

    assert authcontroller.swaps == 12
