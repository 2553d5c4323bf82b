"""A stream of messages by a timetable, until it is told to stop; what becomes of each is noted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from nats.errors import Error as NatsError

from benchmarks.swap_flow import Flow
from svc_core.errors import SvcError

Publish = Callable[[str, bytes], Awaitable[None]]

TICK_S: Final = 0.001
PAYLOAD_SIZE: Final = 512
_RUN_SIZE: Final = 8
_NUMBER_SIZE: Final = 8


class SteadyLoad:
    """Publishes each message when it is due, whatever became of those before it."""

    def __init__(self, flow: Flow, *, rate: float, run: bytes) -> None:
        """Note everything in ``flow``.

        Args:
            flow: empty.
            rate: messages per second.
            run: 8 bytes that no other stream of messages on these servers has.
        """
        self._flow = flow
        self._rate = rate
        self._run = run
        self._padding = bytes(PAYLOAD_SIZE - _RUN_SIZE - _NUMBER_SIZE)
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Begin no more messages."""
        self._stopped.set()

    async def run(self, publish: Publish) -> None:
        """Publish until stopped, then wait for what is under way."""
        began, number = time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            while not self._stopped.is_set():
                due = int((time.perf_counter() - began) * self._rate) + 1
                while number < due:
                    at = began + number / self._rate
                    group.create_task(self._publish(publish, self._flow.begin(at)))
                    number += 1
                await asyncio.sleep(max(TICK_S, began + number / self._rate - time.perf_counter()))

    def handle(self, payload: bytes, place: int) -> None:
        """Note that the message stored at ``place`` arrived; another run's are passed over."""
        if payload.startswith(self._run):
            number = int.from_bytes(payload[_RUN_SIZE : _RUN_SIZE + _NUMBER_SIZE])
            self._flow.handle(number, time.perf_counter(), place=place)

    async def _publish(self, publish: Publish, number: int) -> None:
        payload = self._run + number.to_bytes(_NUMBER_SIZE) + self._padding
        try:
            await publish(f"{self._run.hex()}-{number}", payload)
        except (SvcError, NatsError):
            self._flow.failed += 1
        else:
            self._flow.ack(number, time.perf_counter())
