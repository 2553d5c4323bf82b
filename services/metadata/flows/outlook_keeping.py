"""Telling the operator what is next: written into OpenBao when it changes, and acted on by nobody.

The rotation does not wait for this. Whoever holds the lease writes; one that lost it and does not
know yet can put an older outlook over a newer one, which the next change mends.
"""

import asyncio
from typing import Final

from services.metadata.domain.ca_rotation import SilencePolicy
from services.metadata.domain.outlook import Outlook, Sight, prospects, situation
from services.metadata.flows.ca_rotation import CaRotator
from svc_core.domain.identity import InstanceName
from svc_core.domain.subjects import OUTLOOK_PATH
from svc_core.ports.secret_store import SecretStore
from svc_core.runtime.surroundings import Surroundings

_LOOK_AGAIN_S: Final = 1.0


class OutlookKeeper:
    """The loop that keeps the outlook in OpenBao as it is here."""

    name: Final = "outlook_keeping"

    def __init__(
        self,
        store: SecretStore,
        rotator: CaRotator,
        instance: InstanceName,
        around: Surroundings,
        policy: SilencePolicy,
    ) -> None:
        self._store = store
        self._rotator = rotator
        self._instance = instance
        self._around = around
        self._policy = policy
        self._told: Outlook = {}
        self._told_at = 0.0

    async def run(self) -> None:
        """Look once a second, for ever."""
        while True:
            if not self._rotator.is_holder:
                self._told = {}
            elif self._rotator.journal.issuers:
                await self._tell()
            self._around.health.beat(self.name)
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _tell(self) -> None:
        now, profile = self._around.clock.now(), self._around.profile
        rotator = self._rotator
        sight = Sight(rotator.journal, rotator.fleet, rotator.held, now)
        told = situation(sight, profile, self._policy)
        # What follows moves on with the clock only while somebody is waited for.
        age = self._around.clock.monotonic() - self._told_at
        is_late = bool(rotator.held) and age >= profile.heartbeat.total_seconds()
        if told == self._told and not is_late:
            return
        ahead = await asyncio.to_thread(prospects, sight, profile, self._policy)
        document = {**told, **ahead, "by": self._instance, "at": now.isoformat()}
        await self._store.store(OUTLOOK_PATH, document, expected_version=None)
        self._told, self._told_at = told, self._around.clock.monotonic()
