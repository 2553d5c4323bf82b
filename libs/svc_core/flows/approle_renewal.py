"""Keeping the AppRole fresh: a token renewed at half-life, a new secret-id every period.

Replacing the secret-id is five effects, and the process may end between any two of them. The order
makes each such end harmless: what is on disk always logs in, and what is left over is claimed by
this instance, so that the next replacement finds and destroys it. Only a secret-id that was made
and not yet claimed is lost; Metadata destroys those.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from svc_core.domain import claims
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.errors import SecretStoreError
from svc_core.ports.credentials import AppRoleCredential
from svc_core.ports.secret_store import SecretStore
from svc_core.runtime.health import Health

log = structlog.get_logger()

_NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class AccessorClaims:
    """What one instance claims; it is the only writer."""

    store: SecretStore
    service: ServiceName
    instance: InstanceName

    @property
    def path(self) -> str:
        """Where the claim is stored."""
        return claims.claim_path(self.service, self.instance)

    async def fetch(self) -> frozenset[str]:
        """Return the accessors claimed now.

        Raises:
            SecretStoreError: what is stored there is no claim.
        """
        found = await self.store.fetch(self.path)
        if found is None:
            return _NOTHING
        try:
            return claims.decode(found.data)
        except ValueError as err:
            raise SecretStoreError(f"{self.path}: {err}") from err

    async def write(self, *accessors: str) -> None:
        """Claim exactly ``accessors`` from now on.

        Raises:
            StaleWriteError: somebody else claims in this instance's name.
        """
        found = await self.store.fetch(self.path)
        wanted = claims.encode(frozenset(accessors))
        if found is None or found.data != wanted:
            version = found.version if found else 0
            await self.store.store(self.path, wanted, expected_version=version)


class AppRoleRenewal:
    """The loop that replaces this instance's secret-id and keeps its token alive."""

    name: Final = "approle_renewal"

    def __init__(
        self,
        credential: AppRoleCredential,
        period: timedelta,
        health: Health,
        own: AccessorClaims,
    ) -> None:
        """Prepare the loop.

        Args:
            period: how often the secret-id is replaced.
            own: where the accessors are claimed; None where nobody looks for unclaimed ones.
        """
        self._credential = credential
        self._period_s = period.total_seconds()
        self._health = health
        self._own = own
        self._replace_at: float | None = None

    async def run(self) -> None:
        """Renew and replace when due, for ever; the first replacement after one period.

        A replacement that failed costs one period, however often the loop is started again.
        """
        clock = asyncio.get_running_loop().time
        if self._replace_at is None:
            self._replace_at = clock() + self._period_s
        while True:
            renewal_in = await self._credential.fetch_renewal_due()
            await asyncio.sleep(
                max(0.0, min(renewal_in.total_seconds(), self._replace_at - clock()))
            )
            if clock() >= self._replace_at:
                self._replace_at = clock() + self._period_s
                await self.replace_secret_id()
            else:
                await self._credential.renew_token()

    async def replace_secret_id(self) -> None:
        """Make a secret-id, claim it, log in with it, keep it, then destroy its predecessors.

        A failure anywhere leaves a secret-id on disk that logs in; whatever an earlier failure
        left over is destroyed first, so that failures do not add up.
        """
        kept = await self._credential.fetch_kept()
        leftover = await self._own.fetch()
        if kept is not None and leftover - {kept.accessor}:
            # Once more, because the earlier attempt may have ended before it was synced.
            await self._credential.keep(kept)
            await self._settle(kept.accessor, leftover)
            leftover = _NOTHING
        former = leftover | ({kept.accessor} if kept is not None else _NOTHING)
        fresh = await self._credential.make_secret_id()
        await self._own.write(fresh.accessor, *former)
        await self._credential.adopt(fresh)
        await self._credential.keep(fresh)
        await self._settle(fresh.accessor, former)
        self._health.beat(self.name)
        log.info("approle.rotated", accessor=fresh.accessor)

    async def _settle(self, kept: str, others: frozenset[str]) -> None:
        for accessor in sorted(others - {kept}):
            await self._credential.destroy(accessor)
        await self._own.write(kept)
