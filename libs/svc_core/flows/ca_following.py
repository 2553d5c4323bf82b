"""Following the CA: take over new trust, acknowledge it, and move to leaves of the active issuer.

Trust first, leaves later: a new issuer is trusted here as soon as the desired state says so, and
its leaves are used only once the state names it active, by when everybody trusts it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from svc_core.domain.desired import DesiredState
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import SvcError, TlsMaterialError, UntrustedAnswerError
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec, retrusted
from svc_core.ports.tls import Movable, TlsSlot
from svc_core.runtime.metrics import RotationMetrics
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup

log = structlog.get_logger()

_DRAW: Final = 1 << 16


@dataclass(slots=True)
class FollowedIdentity:
    """One identity that is kept on the active issuer, and the connection that uses it."""

    spec: LeafSpec
    slot: TlsSlot
    connection: Movable | None = None
    move_at: datetime | None = field(default=None)
    renew_at: datetime | None = field(default=None)


class CaFollower:
    """The loop that keeps this process's identities in step with the desired state."""

    name: Final = "ca_following"

    def __init__(
        self,
        reader: DesiredReader,
        issuing: LeafIssuing,
        identities: Sequence[FollowedIdentity],
        around: Surroundings,
        metrics: RotationMetrics,
    ) -> None:
        self._reader = reader
        self._issuing = issuing
        self._identities = identities
        self._clock = around.clock
        self._entropy = around.entropy
        self._profile = around.profile
        self._health = around.health
        self._metrics = metrics
        self.hinted = Wakeup()
        """Set to look at once; a lost hint costs at most one heartbeat."""
        self.acknowledged = Wakeup()
        """Set whenever there is something new to acknowledge."""
        self.version = 0
        """Version of the desired state whose trust every identity here has taken over."""

    async def run(self) -> None:
        """Follow for ever."""
        hinted = False
        while True:
            desired = await (
                self._reader.read_hinted(above=self.version) if hinted else self._reader.read()
            )
            if desired is not None:
                await self._follow_safely(desired)
                self._health.beat(self.name, f"version {self.version}")
            hinted = await self.hinted.wait(self._pause().total_seconds())

    async def _follow_safely(self, desired: DesiredState) -> None:
        try:
            await self._follow(desired)
        except TlsMaterialError as err:
            # Wrong material is wrong input, but what is in use still serves: ask again later.
            raise UntrustedAnswerError(f"the new certificate cannot be used: {err}") from err

    async def _follow(self, desired: DesiredState) -> None:
        if desired.version > self.version:
            await self._take_over_trust(desired)
        for identity in self._identities:
            await self._keep(identity, desired)

    async def _take_over_trust(self, desired: DesiredState) -> None:
        for identity in self._identities:
            material = identity.slot.material
            if material is None:
                continue
            if self._is_over(material, desired):
                await self._renew(identity, desired)
            else:
                await identity.slot.adopt(retrusted(material, identity.spec, desired))
        self.version = desired.version
        self.acknowledged.set()
        log.info(
            "trust.adopted", version=desired.version, issuers=[i.name for i in desired.issuers]
        )

    def _is_over(self, material: TlsMaterial, desired: DesiredState) -> bool:
        """Say whether no trust can make ``material`` stand in a handshake any more."""
        is_withdrawn = desired.issuer(material.issuer) is None
        return is_withdrawn or material.remaining(self._clock.now()) <= timedelta(0)

    async def _keep(self, identity: FollowedIdentity, desired: DesiredState) -> None:
        now = self._clock.now()
        material = identity.slot.material
        if material is None or self._is_due(identity, desired, now):
            await self._renew(identity, desired)
        connection, material = identity.connection, identity.slot.material
        if connection is not None and connection.issuer:
            self._metrics.uses(connection.issuer)
        if (
            connection is not None
            and material is not None
            and connection.leaf_in_use
            and connection.leaf_in_use != material.chain_pem
        ):
            await self._move(connection)

    def _is_due(self, identity: FollowedIdentity, desired: DesiredState, now: datetime) -> bool:
        material = identity.slot.material
        if material is None or desired.issuer(material.issuer) is None:
            return True
        if material.issuer != desired.active:
            window = self._profile.activation_jitter
            # Drawn anew when it is further off than it can be: the clock was set back.
            if identity.move_at is None or identity.move_at > now + window:
                identity.move_at = now + window * self._draw()
            return now >= identity.move_at
        identity.move_at = None
        return identity.renew_at is None or now >= identity.renew_at

    async def _renew(self, identity: FollowedIdentity, desired: DesiredState) -> None:
        material = await self._issuing.issue(identity.spec, desired, desired.active)
        await identity.slot.adopt(material)
        identity.move_at = None
        identity.renew_at = material.renew_at(self._draw())
        log.info(
            "leaf.renewed",
            role=identity.spec.role,
            issuer=material.issuer,
            not_after=material.not_after.isoformat(),
        )

    async def _move(self, connection: Movable) -> None:
        began = self._clock.now()
        try:
            await connection.swap()
        except SvcError as err:
            self._metrics.failed()
            log.warning("connection.swap_failed", code=err.code, reason=str(err))
            return
        ended = self._clock.now()
        self._metrics.moved(issuer=connection.issuer, duration_s=(ended - began).total_seconds())
        self.acknowledged.set()
        log.info(
            "connection.swapped",
            issuer=connection.issuer,
            swap_began_at=began.isoformat(),
            swap_ended_at=ended.isoformat(),
            elapsed_ms=round((ended - began).total_seconds() * 1000, 1),
        )

    def _pause(self) -> timedelta:
        now = self._clock.now()
        deadlines = [d for i in self._identities for d in (i.move_at, i.renew_at) if d is not None]
        soonest = min(deadlines, default=now + self._profile.heartbeat) - now
        return max(min(soonest, self._profile.heartbeat), timedelta(milliseconds=10))

    def _draw(self) -> float:
        return int.from_bytes(self._entropy(2), "big") / _DRAW
