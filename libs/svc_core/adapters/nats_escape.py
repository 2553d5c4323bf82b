"""Leaving a server that answers pings and takes nothing, for one that proves to take it.

What waits to be acknowledged is sent to another server, too, under the same id. Only when that one
acknowledges it is there anything to move for; a cluster without a majority is left alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import structlog

from svc_core.adapters.nats_publishing import AskingLink
from svc_core.config import NatsSettings
from svc_core.domain.stranding import Patience, Silence, Stranding, Tries, plan_try
from svc_core.errors import SvcError
from svc_core.ports.time import Entropy

log = structlog.get_logger()

_LONGEST_PAUSE_S: Final = 60.0
_OPENED_WITHIN_S: Final = 1.0
_DRAW: Final = (1 << 16) - 1


class ServingLink(AskingLink, Protocol):
    """A link as it is chosen here."""

    @property
    def url(self) -> str:
        """The server it goes to."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


L = TypeVar("L", bound=ServingLink)
D_co = TypeVar("D_co", bound=ServingLink, covariant=True)


class OtherServers(Protocol[D_co]):
    """Where else one can go."""

    def elsewhere(self, url: str) -> Sequence[str]:
        """Return all servers but ``url``, in the order in which to try them."""
        ...

    async def one(self, url: str) -> D_co:
        """Open a link to ``url``; raise `BusError` or `AccessDeniedError`."""
        ...


class Evidence(Protocol):
    """What is published and not acknowledged."""

    def silences(self, link: AskingLink) -> Mapping[str, Silence]:
        """Return the silences of ``link`` by topic that another link can be tried with."""
        ...

    def is_silent(self, link: AskingLink, topic: str) -> bool:
        """Say whether nothing was acknowledged on ``topic`` since its silence began."""
        ...

    async def is_taken(self, link: AskingLink, topic: str) -> bool:
        """Say whether ``link`` has acknowledged what waits on ``topic``."""
        ...


@dataclass(frozen=True, slots=True)
class Refuge(Generic[L]):
    """A link that took what the one in use did not."""

    link: L
    reason: Stranding
    silent_s: float


class Escape(Generic[L]):
    """Finds another server when the one in use is cut off from the others."""

    def __init__(
        self,
        settings: NatsSettings,
        evidence: Evidence,
        servers: OtherServers[L],
        entropy: Entropy,
    ) -> None:
        first_s = settings.stranded_after.total_seconds()
        self._patience = Patience(first_s, max(first_s, _LONGEST_PAUSE_S))
        self._evidence = evidence
        self._servers = servers
        self._entropy = entropy
        self._tries = Tries()

    def is_due(self, link: L) -> bool:
        """Say whether another server should be tried instead of that of ``link`` now."""
        return self._planned(link) is not None

    async def find(self, link: L) -> Refuge[L] | None:
        """Return a link elsewhere, not in use yet, that took what ``link`` does not.

        None: no other server does, or that of ``link`` does again.
        """
        topic = self._planned(link)
        if topic is None:
            return None
        silence = self._evidence.silences(link)[topic]
        try:
            return await self._searched(link, topic, silence)
        finally:
            # From when it is over, or a search that takes long would be followed by the next.
            draw = int.from_bytes(self._entropy(2), "big") / _DRAW
            now = asyncio.get_running_loop().time()
            self._tries = self._tries.and_one(now, self._patience, draw=draw)

    async def _searched(self, link: L, topic: str, silence: Silence) -> Refuge[L] | None:
        silent_s = round(asyncio.get_running_loop().time() - silence.since, 3)
        for url in self._servers.elsewhere(link.url):
            fresh = await opened_if(
                self._servers, url, lambda other: self._evidence.is_taken(other, topic)
            )
            if not link.is_lost and not self._evidence.is_silent(link, topic):
                if fresh is not None:
                    await fresh.close()
                return None
            if fresh is not None:
                return Refuge(fresh, silence.reason, silent_s)
        log.warning(
            "connection.stranded",
            url=link.url,
            reason=silence.reason.value,
            silent_s=silent_s,
            tries=self._tries.count + 1,
        )
        return None

    def _planned(self, link: L) -> str | None:
        silences = self._evidence.silences(link)
        if not silences:
            return None
        now = asyncio.get_running_loop().time()
        return plan_try(silences, self._tries, now=now, patience=self._patience)


async def opened_if(
    servers: OtherServers[L], url: str, is_better: Callable[[L], Awaitable[bool]]
) -> L | None:
    """Return a link to ``url`` that ``is_better``; None when it is not, or cannot be had."""
    try:
        async with asyncio.timeout(_OPENED_WITHIN_S):
            link = await servers.one(url)
    except (SvcError, TimeoutError):
        return None
    is_wanted = False
    try:
        is_wanted = await is_better(link)
    except SvcError:
        log.debug("connection.not_better", url=url)
    finally:
        if not is_wanted:
            await link.close()
    return link if is_wanted else None
