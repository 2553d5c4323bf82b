"""What stands around the authority here: a clock to move, registrations, a bus without a broker."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from svc_core.domain.profiles import RotationProfile
from svc_core.errors import NobodyAnswersError
from svc_core.ports.bus import Responder
from svc_core.ports.secret_store import Document, SecretStore, Versioned
from svc_core.ports.time import Clock


class SteppedClock:
    """The system's clock, moved on to the beginning of whatever key epoch comes next."""

    def __init__(self, inner: Clock, profile: RotationProfile) -> None:
        self._inner = inner
        self._schedule = profile.keys
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the instant the authority takes it for."""
        return self._inner.now() + self._ahead

    def monotonic(self) -> float:
        """Return seconds that nobody moves."""
        return self._inner.monotonic()

    def begin_next_epoch(self) -> None:
        """Go to the first second of the next key epoch."""
        now = self.now()
        following = self._schedule.starts(self._schedule.current(now).next())
        self._ahead += following - now


@dataclass
class RegisteringStore:
    """A `SecretStore` in which instances are registered that OpenBao has never heard of.

    They are services of this measurement only, and Metadata may register nobody.
    """

    inner: SecretStore
    registered: Mapping[str, Document] = field(default_factory=dict)
    """By path."""

    async def fetch(self, path: str) -> Versioned | None:
        """Return what is registered at ``path``, or what is stored there."""
        if (found := self.registered.get(path)) is not None:
            return Versioned(found, 1)
        return await self.inner.fetch(path)

    async def store(self, path: str, data: Document, *, expected_version: int | None) -> int:
        """Write as the inner store does."""
        return await self.inner.store(path, data, expected_version=expected_version)

    async def fetch_names(self, path: str) -> tuple[str, ...]:
        """Return what the inner store has."""
        return await self.inner.fetch_names(path)

    async def remove(self, path: str) -> None:
        """Delete as the inner store does."""
        await self.inner.remove(path)


class DirectBus:
    """The two ends of a request in one process: what a pull costs without a broker."""

    def __init__(self) -> None:
        self._responder: Responder | None = None

    async def respond(self, subject: str, group: str, responder: Responder) -> None:
        """Answer requests for ever."""
        self._responder = responder
        await asyncio.Event().wait()

    async def request(self, subject: str, payload: bytes, *, timeout: timedelta) -> bytes:
        """Return the answer.

        Raises:
            NobodyAnswersError: there is nobody, or nothing was said.
        """
        answer = None if self._responder is None else await self._responder(payload)
        if answer is None:
            raise NobodyAnswersError(f"nobody answers on {subject}")
        return answer


class ForgetfulMemory:
    """A `BundleMemory` that knows of no version: every round begins anew."""

    async def fetch(self) -> int:
        """Return 0."""
        return 0

    async def store(self, version: int) -> None:
        """Remember nothing."""


LONG_AGO: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Of what has to have a time that nobody looks at."""
