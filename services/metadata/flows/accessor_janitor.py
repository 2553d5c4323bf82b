"""Destroying secret-ids that no instance claims, and saying so: each is a crash or a thief.

What is on the disk of an instance is claimed, also while the instance is down, so a live or a
sleeping instance never loses its own. Ended secret-ids are OpenBao's to forget.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final, Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter

from services.metadata.domain.accessors import SecretIdFacts, abandoned, grace
from svc_core.domain import claims
from svc_core.domain.identity import ServiceName
from svc_core.errors import SecretStoreError, SvcError
from svc_core.ports.secret_store import SecretStore
from svc_core.runtime.surroundings import Surroundings

log = structlog.get_logger()

UNCLAIMED: Final = "st_unclaimed_secret_ids_total"


def unclaimed_counter(registry: CollectorRegistry) -> Counter:
    """Return the counter of destroyed secret-ids by AppRole, exported from now on."""
    return Counter(UNCLAIMED, "Secret-ids that no instance claimed.", ["role"], registry=registry)


class AccessorRegistry(Protocol):
    """The secret-ids there are. Every method may raise `SecretStoreError` (retry)."""

    async def fetch_accessors(self, service: ServiceName) -> frozenset[str]:
        """Return the accessor of every secret-id of ``service``."""
        ...

    async def describe(self, service: ServiceName, accessor: str) -> SecretIdFacts | None:
        """Return the facts about one secret-id; None when it has ended."""
        ...

    async def destroy(self, service: ServiceName, accessor: str) -> None:
        """Destroy one secret-id; no error when it is gone already."""
        ...


class AccessorJanitor:
    """The loop that compares the secret-ids there are with those that instances claim."""

    name: Final = "accessor_janitor"

    def __init__(
        self,
        registry: AccessorRegistry,
        store: SecretStore,
        services: Iterable[ServiceName],
        period: timedelta,
        around: Surroundings,
        metrics: CollectorRegistry,
    ) -> None:
        """Prepare the loop.

        Args:
            services: whose secret-ids are looked after.
            period: how often instances replace their secret-id; also how often is swept.
        """
        self._registry = registry
        self._store = store
        self._services = sorted(services)
        self._period = period
        self._around = around
        self._unclaimed = unclaimed_counter(metrics)
        self._ended: dict[str, int] = {}

    async def run(self) -> None:
        """Sweep once per period, for ever; the first time one period after the start."""
        while True:
            await asyncio.sleep(self._period.total_seconds())
            await self._sweep_all()
            self._around.health.beat(self.name)

    async def _sweep_all(self) -> None:
        failure: SvcError | None = None
        for service in self._services:
            try:
                await self.sweep(service)
            except SvcError as err:
                # One service's broken claim must not keep the others' secret-ids unwatched.
                failure = err
        if failure is not None:
            raise failure

    async def sweep(self, service: ServiceName) -> Sequence[SecretIdFacts]:
        """Destroy what nobody claims of one service and return it.

        Nothing is destroyed unless every claim can be read. Where there is no claim at all,
        nobody claims yet, or the claims were lost: nothing is destroyed either.

        Raises:
            SecretStoreError: OpenBao does not answer, or a claim cannot be read.
        """
        # In this order: what is made after the list was taken cannot be missed among the claims.
        accessors = await self._registry.fetch_accessors(service)
        claimed = await self._claimed(service, accessors)
        if not claimed:
            return ()
        unclaimed = [
            facts
            for accessor in sorted(accessors - claimed)
            if (facts := await self._registry.describe(service, accessor)) is not None
        ]
        now, profile = self._around.clock.now(), self._around.profile
        due = abandoned(unclaimed, now=now, grace=grace(self._period, profile.skew))
        for facts in due:
            await self._destroy(service, facts)
        return due

    async def _claimed(self, service: ServiceName, existing: frozenset[str]) -> frozenset[str]:
        folder = claims.claims_folder(service)
        claimed: frozenset[str] = frozenset()
        for name in await self._store.fetch_names(folder):
            path = f"{folder}/{name}"
            found = await self._store.fetch(path)
            if found is None:
                continue
            try:
                own = claims.decode(found.data)
            except ValueError as err:
                raise SecretStoreError(f"{path}: {err}") from err
            claimed |= own
            if own & existing:
                self._ended.pop(path, None)
            else:
                await self._forget(path, found.version)
        return claimed

    async def _forget(self, path: str, version: int) -> None:
        """Remove a claim to nothing, if it is the same as at the last sweep: not just written."""
        if self._ended.get(path) == version:
            await self._store.remove(path)
            del self._ended[path]
        else:
            self._ended[path] = version

    async def _destroy(self, service: ServiceName, facts: SecretIdFacts) -> None:
        # Said first: an alarm twice is better than none because an answer was lost.
        self._unclaimed.labels(service).inc()
        log.error(
            "secret_id.unclaimed",
            owner=service,
            accessor=facts.accessor,
            made_at=facts.made_at.isoformat(),
        )
        await self._registry.destroy(service, facts.accessor)
