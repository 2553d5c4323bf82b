"""Questions with many answers: up to the last one, or whatever comes in time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from nats.aio.msg import Msg

from svc_core.adapters.nats_link import NO_RESPONDERS, NatsLink
from svc_core.errors import BusError

log = structlog.get_logger()


async def ask_until(
    link: NatsLink,
    subject: str,
    payload: bytes,
    *,
    timeout_s: float,
    is_last: Callable[[Msg], bool],
) -> list[Msg]:
    """Publish once and gather answers up to the one for which ``is_last`` holds.

    Raises:
        BusError: the last one did not come in time.
    """
    gathered: list[Msg] = []
    async with _gathering(link, subject, payload) as answers:
        try:
            async with asyncio.timeout(timeout_s):
                while not is_last(message := await answers.get()):
                    gathered.append(message)
        except TimeoutError as err:
            raise BusError(f"no complete answer on {subject} within {timeout_s} s") from err
    return gathered


async def ask_all(
    link: NatsLink, subject: str, payload: bytes, *, expected: int, window_s: float
) -> list[Msg]:
    """Publish once and gather ``expected`` answers, or those that come within ``window_s``."""
    gathered: list[Msg] = []
    async with _gathering(link, subject, payload) as answers:
        try:
            async with asyncio.timeout(window_s):
                while len(gathered) < expected:
                    gathered.append(await answers.get())
        except TimeoutError:
            log.debug("answers.missing", subject=subject, missing=expected - len(gathered))
    return [m for m in gathered if (m.headers or {}).get("Status") != NO_RESPONDERS]


@asynccontextmanager
async def _gathering(
    link: NatsLink, subject: str, payload: bytes
) -> AsyncIterator[asyncio.Queue[Msg]]:
    answers: asyncio.Queue[Msg] = asyncio.Queue()

    async def collect(message: Msg) -> None:
        answers.put_nowait(message)

    inbox = link.new_inbox()
    subscription = await link.subscribe(inbox, collect)
    try:
        await link.send(subject, payload, reply=inbox)
        yield answers
    finally:
        await link.unsubscribe(subscription)
