"""Who has taken over what was ordered, by what live instances and servers say themselves."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from services.metadata.flows.fleet_watching import FleetWatch
from svc_core.domain.desired import DesiredState
from svc_core.domain.identity import ServiceName
from svc_core.errors import RejectedError, SecretStoreError
from svc_core.flows.desired_reading import DesiredReader
from svc_core.runtime.surroundings import Surroundings

_LOOK_AGAIN_S: Final = 0.1
_WITHIN: Final = timedelta(seconds=10)


@dataclass(slots=True)
class Adopters:
    """Which live instances use a bundle version, as far as it could be seen."""

    is_observed: bool = False
    """Whether NATS could be asked at all."""
    adopted: dict[str, str] = field(default_factory=dict)
    """Instances that do, and the time of the status that said so first."""
    waiting: tuple[str, ...] = ()

    def as_document(self) -> Mapping[str, Any]:
        """Return it as results have it."""
        return {
            "observed": self.is_observed,
            "adopted": dict(sorted(self.adopted.items())),
            "waiting": list(self.waiting),
        }


class Adoption:
    """Watches until everybody has followed, or the time for it is over."""

    def __init__(self, fleet: FleetWatch, reader: DesiredReader, around: Surroundings) -> None:
        self._fleet = fleet
        self._reader = reader
        self._around = around

    async def of_bundles(self, version: int, services: Iterable[ServiceName]) -> Adopters:
        """Return who of ``services`` uses a bundle of ``version`` or later; ten seconds at most."""
        wanted, found = frozenset(services), Adopters()
        deadline = self._deadline()
        while True:
            fleet = await self._fleet.observe()
            if fleet is not None:
                found.is_observed = True
                mine = [s for s in fleet.live if s.service in wanted]
                for status in mine:
                    if status.bundle_version >= version:
                        name = f"{status.service}/{status.instance}"
                        found.adopted.setdefault(name, status.sent_at.isoformat())
                found.waiting = tuple(
                    sorted(f"{s.service}/{s.instance}" for s in mine if s.bundle_version < version)
                )
            is_done = found.is_observed and not found.waiting
            if is_done or self._around.clock.monotonic() >= deadline:
                return found
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def of_servers(self, service: ServiceName, *, is_revoked: bool) -> bool:
        """Say whether every NATS server was verified without, or with, ``service`` as a user.

        Ten seconds at most; False too when nobody could be asked.
        """
        deadline = self._deadline()
        while self._around.clock.monotonic() < deadline:
            desired = await self._desired_or_none()
            if desired is not None and (service in desired.revoked) == is_revoked:
                fleet = await self._fleet.observe()
                if fleet is not None and fleet.servers_have(desired.version):
                    return True
            await asyncio.sleep(_LOOK_AGAIN_S)
        return False

    async def _desired_or_none(self) -> DesiredState | None:
        try:
            return await self._reader.read_hinted(above=self._known_version())
        except (SecretStoreError, RejectedError):
            return None

    def _known_version(self) -> int:
        return 0 if self._reader.newest is None else self._reader.newest.version

    def _deadline(self) -> float:
        return self._around.clock.monotonic() + _WITHIN.total_seconds()
