"""Keeping the AppRole fresh: a new secret-id every period, on disk before the old one ends."""

import asyncio
from datetime import timedelta
from typing import Final, Protocol

import structlog

from svc_core.runtime.health import Health

log = structlog.get_logger()


class CredentialRotation(Protocol):
    """Something that can replace its own credential."""

    async def rotate_secret_id(self) -> None:
        """Replace it; on failure the former stays valid and on disk."""
        ...


class AppRoleRenewal:
    """The loop that replaces this instance's secret-id and token."""

    name: Final = "approle_renewal"

    def __init__(self, session: CredentialRotation, period: timedelta, health: Health) -> None:
        self._session = session
        self._period = period
        self._health = health

    async def run(self) -> None:
        """Rotate once per period for ever; the first time one period after the start."""
        while True:
            await asyncio.sleep(self._period.total_seconds())
            await self._session.rotate_secret_id()
            self._health.beat(self.name)
            log.info("approle.rotated")
