"""`LoadGenerator`: carries out the load order that is wanted now, on schedule."""

import asyncio
from datetime import datetime, timedelta
from typing import Final, assert_never

import structlog

from services.gatekeeper.domain.load_schedule import Finish, Send, Skip, Wait, plan_next
from services.gatekeeper.flows.load_orders import LoadOrders
from services.gatekeeper.flows.requests import RequestSender
from svc_core.domain.load_order import LoadOrder, request_id
from svc_core.errors import Disposition, SvcError
from svc_core.runtime.surroundings import Surroundings

log = structlog.get_logger()

IN_FLIGHT: Final = 512
"""Requests that may wait for their acknowledgement at a time."""
_LONGEST_WAIT_S: Final = 1.0


class LoadGenerator:
    """The loop that sends each request when it is due, whatever became of the ones before.

    When stopped it sends nothing new and waits for what is in flight.
    """

    name: Final = "load_generation"

    def __init__(
        self,
        orders: LoadOrders,
        sender: RequestSender,
        around: Surroundings,
        *,
        boot_id: str,
        drain: timedelta,
    ) -> None:
        """Send what ``orders`` say through ``sender``.

        Args:
            orders: the load that is wanted.
            sender: sends one request.
            around: clock and health.
            boot_id: part of every id, so that no id is used by two processes.
            drain: how long a stop waits for acknowledgements.
        """
        self._orders = orders
        self._sender = sender
        self._clock = around.clock
        self._health = around.health
        self._boot_id = boot_id
        self._drain_s = drain.total_seconds()
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._trouble = ""

    async def run(self) -> None:
        """Carry out orders for ever."""
        await self._sender.users.prepare(up_to=1)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sender.users.prepare())
            try:
                await self._follow_orders(group)
            except asyncio.CancelledError:
                await self._drain()
                raise

    async def _follow_orders(self, group: asyncio.TaskGroup) -> None:
        finished: LoadOrder | None = None
        while True:
            order = self._orders.current
            if order is None or order is finished or order.is_over(self._clock.now()):
                self._health.beat(self.name, "no load is wanted")
                await self._orders.changed.wait(_LONGEST_WAIT_S)
                continue
            log.info("load.started", run_id=order.run_id, rate=order.rate)
            await self._carry_out(order, group)
            finished = order
            log.info("load.ended", run_id=order.run_id)

    async def _carry_out(self, order: LoadOrder, group: asyncio.TaskGroup) -> None:
        index = order.index_at(self._clock.now())
        while order is self._orders.current:
            self._health.beat(self.name, f"{order.rate:g} requests per second")
            match plan_next(order, index, now=self._clock.now()):
                case Finish():
                    return
                case Wait(delay):
                    await self._pause(delay)
                case Skip(count):
                    self._sender.note_skipped(self._id(order, index), count)
                    log.warning("load.skipped", count=count)
                    index += count
                case Send(due_at):
                    await self._slots.acquire()
                    self._begin(group, self._id(order, index), index, due_at)
                    index += 1
                case unexpected:
                    assert_never(unexpected)

    async def _pause(self, delay: timedelta) -> None:
        """Wait until something is due; only a long wait can be cut short by a new order."""
        seconds = delay.total_seconds()
        if seconds < _LONGEST_WAIT_S:
            await asyncio.sleep(seconds)
        else:
            await self._orders.changed.wait(_LONGEST_WAIT_S)

    def _begin(
        self, group: asyncio.TaskGroup, request_id: str, index: int, due_at: datetime
    ) -> None:
        self._in_flight += 1
        self._idle.clear()
        task = group.create_task(self._send(request_id, index, due_at))
        task.add_done_callback(self._end)

    def _end(self, _task: asyncio.Task[None]) -> None:
        self._slots.release()
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()

    async def _send(self, request_id: str, index: int, due_at: datetime) -> None:
        try:
            await self._sender.send(request_id, index, due_at=due_at)
        except SvcError as err:
            if err.disposition is Disposition.FATAL:
                raise
            self._sender.metrics.failed()
            self._report_trouble(err.code, str(err))
        else:
            self._report_trouble("", "")

    def _report_trouble(self, code: str, reason: str) -> None:
        if code == self._trouble:
            return
        self._trouble = code
        if code:
            log.warning("request.failed", code=code, reason=reason)
        else:
            log.info("request.recovered")

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._drain_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning("load.drain_exceeded", in_flight=self._in_flight)

    def _id(self, order: LoadOrder, index: int) -> str:
        return request_id(order.run_id, self._boot_id, index)
