"""Asking a durable for messages: as many as there is room for, over whichever link is current."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from svc_core.adapters.nats_link import NO_RESPONDERS, NatsLink
from svc_core.errors import BusError
from svc_core.ports.bus import Binding
from svc_core.runtime.backoff import Backoff

log = structlog.get_logger()

_PULL_EXPIRES_S: Final = 0.5
_PULL_GRACE_S: Final = 1.0
_PAUSES: Final = Backoff(timedelta(milliseconds=10), timedelta(milliseconds=100))
"""Between pulls that are refused; the first is short, because a server that reloads refuses one."""
_NANOSECONDS: Final = 1_000_000_000
_IDLE: Final = frozenset({"404", "408"})
_HEARTBEAT: Final = "100"
_QUANTA: Final = 4


class Intake:
    """What one consumer holds, over all its links, and how much more it may ask for.

    A message is held from its arrival until it is settled. There is room for one in each worker and
    for one batch that waits for them.
    """

    def __init__(self, binding: Binding) -> None:
        self._batch = binding.batch
        self._free = binding.concurrency + binding.batch
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()
        self._held: dict[str, float] = {}
        """Loop time of the last word to the broker by reply subject, the longest ago first."""
        self._has_changed = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Messages that no worker has begun."""
        return self._arrived.qsize()

    # --- room ----------------------------------------------------------------------------------

    async def reserve(self, is_wanted: Callable[[], bool]) -> int:
        """Wait for room worth asking for and take it; 0 once it is not wanted any more.

        A quarter of a batch is worth a request; less would be one request for every message.
        """
        least = max(1, self._batch // _QUANTA)
        while is_wanted() and self._free < least:
            self._has_changed.clear()
            await self._has_changed.wait()
        if not is_wanted():
            return 0
        room = min(self._batch, self._free)
        self._free -= room
        return room

    def release(self, room: int) -> None:
        """Give back room that was not filled."""
        self._free += room
        self._has_changed.set()

    def look_again(self) -> None:
        """Have everybody who waits for room ask whether it is still wanted."""
        self._has_changed.set()

    # --- messages ------------------------------------------------------------------------------

    def put(self, message: Msg, *, is_expected: bool) -> None:
        """Take in a message that arrived; one beyond what was reserved takes its own room."""
        if not is_expected:
            self._free -= 1
        self._held[message.reply] = asyncio.get_running_loop().time()
        self._arrived.put_nowait(message)

    async def take(self) -> Msg:
        """Return the next message to work on."""
        return await self._arrived.get()

    def take_nowait(self) -> Msg | None:
        """Return a message that nobody has begun, or None."""
        return None if self._arrived.empty() else self._arrived.get_nowait()

    def put_back(self, message: Msg) -> None:
        """Take back a message that was not finished; it has been held all along."""
        self._arrived.put_nowait(message)

    def settled(self, message: Msg) -> None:
        """Let go of a message about which the broker has been told."""
        if self._held.pop(message.reply, None) is not None:
            self.release(1)

    # --- the broker's patience -----------------------------------------------------------------

    def due_in(self, patience_s: float) -> float:
        """Return how many seconds no held message needs a word to the broker."""
        oldest = next(iter(self._held.values()), None)
        if oldest is None:
            return patience_s
        return max(0.0, oldest + patience_s - asyncio.get_running_loop().time())

    def overdue(self, patience_s: float) -> list[str]:
        """Return the reply subjects that need a word now, and count it as given."""
        now = asyncio.get_running_loop().time()
        due = [reply for reply, since in self._held.items() if now - since >= patience_s]
        for reply in due:
            del self._held[reply]
            self._held[reply] = now
        return due


class Pull:
    """One link's continuous pull: ask, take what comes, ask again before it runs out."""

    def __init__(
        self,
        binding: Binding,
        link: NatsLink,
        intake: Intake,
        on_silence: Callable[[], None],
    ) -> None:
        self._binding = binding
        self._link = link
        self._intake = intake
        self._on_silence = on_silence
        self._is_wanted = True
        self._left = 0
        self._pause = False
        self._pauses = iter(_PAUSES)
        self._turn = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._inbox = link.new_inbox()
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Subscribe the inbox that the stream delivers to."""
        self._subscription = await self._link.subscribe(self._inbox, self._on_message)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Keep one pull outstanding until stopped or the link is lost."""
        self._task = group.create_task(self._run())

    def retire(self) -> None:
        """Ask for no more; the outstanding pull runs out by itself."""
        self._is_wanted = False
        self._intake.look_again()

    async def stop(self) -> None:
        """Let the outstanding pull run out, then unsubscribe."""
        self.retire()
        if self._link.is_lost:
            self._turn.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._subscription is not None:
            await self._link.unsubscribe(self._subscription)

    async def _run(self) -> None:
        try:
            while self._may_ask():
                if room := await self._intake.reserve(self._may_ask):
                    await self._pull(room)
        except BusError:
            log.debug("pull.ended", stream=self._binding.stream)

    def _may_ask(self) -> bool:
        return self._is_wanted and not self._link.is_lost

    async def _pull(self, room: int) -> None:
        self._turn.clear()
        self._left = room
        self._pause = False
        body = {"batch": room, "expires": int(_PULL_EXPIRES_S * _NANOSECONDS)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._binding.stream}.{self._binding.durable}"
        try:
            await self._link.send(subject, msgspec.json.encode(body), reply=self._inbox)
            async with asyncio.timeout(_PULL_EXPIRES_S + _PULL_GRACE_S):
                await self._turn.wait()
        except TimeoutError:
            log.debug("pull.unanswered", stream=self._binding.stream)
            self._on_silence()
        finally:
            left, self._left = self._left, 0
            self._intake.release(left)
        if self._pause:
            await asyncio.sleep(next(self._pauses).total_seconds())
        else:
            self._pauses = iter(_PAUSES)

    async def _on_message(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is None:
            self._take_in(message)
        elif status != _HEARTBEAT:
            self._pause = status not in _IDLE
            self._turn.set()
            if status == NO_RESPONDERS:
                self._on_silence()

    def _take_in(self, message: Msg) -> None:
        is_expected = self._left > 0
        self._intake.put(message, is_expected=is_expected)
        if is_expected:
            self._left -= 1
            if self._left == 0:
                self._turn.set()
