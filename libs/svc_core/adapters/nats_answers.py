"""Who waits for which answer on one link, and until when; and what JetStream's answers mean.

Thousands wait at a time and nearly all are answered, so there is one timer for all of them, set to
when the first of them has waited long enough.
"""

import asyncio
import heapq
from collections.abc import Callable
from typing import Final

import msgspec
from nats.aio.msg import Msg

from svc_core.errors import AnswerLostError, BusError, StreamFullError

_STORE_FAILED: Final = 10077
_FULL: Final = frozenset({"maximum bytes exceeded", "maximum messages exceeded"})


class Answers:
    """The answers that one link owes."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        self._due: list[tuple[float, str]] = []
        """When the wait for each reply subject is over: a heap; answered ones leave it then."""
        self._timer: asyncio.TimerHandle | None = None
        # Kept here, since a timer of uvloop that is due at once does not know when it was.
        self._timer_due = 0.0

    def expect(self, reply: str, subject: str, *, timeout_s: float) -> asyncio.Future[Msg]:
        """Return what will hold the answer that comes on ``reply``, or `AnswerLostError`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Msg] = loop.create_future()
        self._waiting[reply] = (subject, answer)
        due = loop.time() + timeout_s
        heapq.heappush(self._due, (due, reply))
        if self._timer is None or due < self._timer_due:
            self._set_timer(due)
        return answer

    def forget(self, reply: str) -> None:
        """Wait no more for what comes on ``reply``."""
        _, answer = self._waiting.pop(reply)
        if not answer.cancel() and not answer.cancelled():
            # An error that came too late to be awaited is nobody's news.
            answer.exception()

    async def receive(self, message: Msg) -> None:
        """Hand ``message`` to whoever waits for it."""
        found = self._waiting.get(message.subject)
        if found is not None and not found[1].done():
            found[1].set_result(message)

    def fail(self, error: Callable[[], Exception], *, subject: str = "") -> None:
        """Tell everybody that no answer will come; with ``subject``, those who asked there.

        Args:
            error: makes one for each.
            subject: as it was asked, in any case of letters.
        """
        for asked, answer in self._waiting.values():
            if not answer.done() and (not subject or asked.lower() == subject):
                answer.set_exception(error())

    async def settle(self, *, within_s: float) -> None:
        """Wait until nobody waits, at most ``within_s``."""
        if self._waiting:
            await asyncio.wait([f for _, f in self._waiting.values()], timeout=within_s)

    def close(self) -> None:
        """Let go of the timer; nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.clear()

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = asyncio.get_running_loop().call_at(due, self._give_up_overdue)

    def _give_up_overdue(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._due:
            due, reply = self._due[0]
            subject, answer = self._waiting.get(reply, ("", None))
            is_waiting = answer is not None and not answer.done()
            if is_waiting and due > now:
                self._set_timer(due)
                return
            heapq.heappop(self._due)
            if answer is not None and is_waiting:
                answer.set_exception(AnswerLostError(f"no answer on {subject} in time"))


class _Ack(msgspec.Struct):
    """A publish acknowledgement, as far as it matters."""

    seq: int | None = None
    duplicate: bool = False
    error: dict[str, object] | None = None


_decoder: Final = msgspec.json.Decoder(_Ack)


def decode_ack(message: Msg) -> tuple[int, bool]:
    """Return (sequence, was a duplicate) from a JetStream publish acknowledgement.

    Raises:
        StreamFullError: the stream keeps what it has, and has no room for more.
        BusError: the acknowledgement carries another error or is none.
    """
    try:
        ack = _decoder.decode(message.data)
    except msgspec.DecodeError as err:
        raise BusError("JetStream's acknowledgement cannot be read") from err
    if ack.error is not None:
        raise _refusal(ack.error)
    if ack.seq is None:
        raise BusError("JetStream's acknowledgement cannot be read")
    return ack.seq, ack.duplicate


def _refusal(error: dict[str, object]) -> BusError:
    description = str(error.get("description", "no reason"))
    is_full = error.get("err_code") == _STORE_FAILED and description in _FULL
    kind = StreamFullError if is_full else BusError
    return kind(f"JetStream refused: {description}")
