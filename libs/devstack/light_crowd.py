"""Many clients that only hold a connection and follow rotations, in one process.

Each moves its connection as every service does: when another issuer is active, within the same
jitter, make before break. They are instances of one user on one machine and share what such have in
common: one reader of the desired state, one session with OpenBao, and one leaf of each issuer. What
a hundred machines would compute side by side would otherwise be timed one after the other here.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Final

from devstack.guests import LIGHT
from svc_core.adapters.nats_connection import NatsConnection, NatsUser
from svc_core.adapters.nats_link import LinkCredentials, LinkTarget, NatsLink
from svc_core.adapters.tls_contexts import client_context
from svc_core.config import NatsSettings
from svc_core.domain.desired import DesiredState
from svc_core.domain.identity import Deployment
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import AccessDeniedError, BusError, SvcError, TlsMaterialError
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec, retrusted
from svc_core.ports.time import Clock
from svc_core.runtime.surroundings import Surroundings

_LOOK_S: Final = 0.1
_AT_A_TIME: Final = 8
"""Connections that are replaced at a time: they share one event loop, and each of a hundred at once
would take as long as all of them, so long that its server seemed to be frozen."""
_AGAIN: Final = timedelta(milliseconds=200)
_AGAIN_AT_MOST: Final = timedelta(seconds=2)
_RENEWED_AT: Final = 0.9
"""Share of a leaf's life: later than any rotation on time, so that each leaf is asked for once."""
_LEAST_PAUSE: Final = timedelta(milliseconds=5)
_DRAW: Final = 1 << 16


@dataclass(slots=True)
class LightCounts:
    """How the clients of one process are; counters count since it started."""

    count: int
    connected: int = 0
    by_issuer: dict[str, int] = field(default_factory=dict)
    """Live connections by the issuer of their certificate."""
    swaps: int = 0
    losses: int = 0
    """Connections that ended without having been replaced before."""
    failures: int = 0
    """Connections that could not be made."""
    repeats: int = 0
    """Answers of OpenBao that were asked for again: as services do, and no harm by itself."""
    last_failure: str = ""
    last_repeat: str = ""


def together(parts: Sequence[LightCounts]) -> LightCounts:
    """Return the counts of several processes as those of one."""
    by_issuer: Counter[str] = Counter()
    for part in parts:
        by_issuer.update(part.by_issuer)
    return LightCounts(
        count=sum(part.count for part in parts),
        connected=sum(part.connected for part in parts),
        by_issuer=dict(by_issuer),
        swaps=sum(part.swaps for part in parts),
        losses=sum(part.losses for part in parts),
        failures=sum(part.failures for part in parts),
        repeats=sum(part.repeats for part in parts),
        last_failure=next((p.last_failure for p in parts if p.last_failure), ""),
        last_repeat=next((p.last_repeat for p in parts if p.last_repeat), ""),
    )


class LightLink(NatsLink):
    """A link whose failures to open are counted, also when another server is tried next."""

    failures: ClassVar[int] = 0
    last_failure: ClassVar[str] = ""

    @classmethod
    async def open(cls, target: LinkTarget) -> NatsLink:
        """Connect; see `NatsLink.open`."""
        try:
            return await super().open(target)
        except (BusError, AccessDeniedError) as err:
            cls.failures += 1
            cls.last_failure = f"{err} [{err.code}]"
            raise


class LightConnection(NatsConnection):
    """A connection made of such links."""

    link_type = LightLink


@dataclass(frozen=True, slots=True)
class LightLeaf:
    """What the clients of one process show, and when they want another."""

    material: TlsMaterial
    renew_at: datetime


class LightClient:
    """One client: its leaf, its connection, and when to replace both."""

    def __init__(self, name: str, nats: NatsSettings, crowd: "Crowd", around: Surroundings) -> None:
        self._crowd = crowd
        self._around = around
        self._leaf: LightLeaf | None = None
        self._move_at: datetime | None = None
        self._again_at: datetime | None = None
        self.connection = LightConnection(
            nats, NatsUser(LIGHT.name, name), self._credentials, around.entropy
        )
        self.repeats = 0
        self.last_repeat = ""

    async def follow(self) -> None:
        """Keep on the active issuer for ever."""
        desired: DesiredState | None = None
        again = _AGAIN
        while True:
            desired = await self._crowd.next_state(desired, self._pause())
            try:
                await self._keep(desired)
                self._again_at, again = None, _AGAIN
            except SvcError as err:
                # A connection that could not be made is counted where that was tried.
                if not isinstance(err, BusError):
                    self.repeats += 1
                    self.last_repeat = f"{err} [{err.code}]"
                self._again_at = self._around.clock.now() + again
                again = min(2 * again, _AGAIN_AT_MOST)

    async def _keep(self, desired: DesiredState) -> None:
        if self._is_due(desired):
            self._leaf, self._move_at = await self._crowd.leaf(desired), None
        if self._has_newer_leaf:
            async with self._crowd.turns:
                await self.connection.swap()

    @property
    def _has_newer_leaf(self) -> bool:
        in_use = self.connection.leaf_in_use
        return bool(in_use) and self._leaf is not None and in_use != self._leaf.material.chain_pem

    def _is_due(self, desired: DesiredState) -> bool:
        now, leaf = self._around.clock.now(), self._leaf
        if leaf is None or desired.issuer(leaf.material.issuer) is None:
            return True
        if leaf.material.issuer != desired.active:
            if self._move_at is None:
                self._move_at = now + self._around.profile.activation_jitter * self._draw()
            return now >= self._move_at
        return now >= leaf.renew_at

    def _pause(self) -> timedelta:
        now = self._around.clock.now()
        renew_at = self._leaf.renew_at if self._leaf is not None else None
        deadlines = [at for at in (self._move_at, renew_at) if at is not None]
        soonest = self._again_at or min(deadlines, default=now)
        return max(soonest - now, _LEAST_PAUSE)

    def _credentials(self) -> LinkCredentials:
        if self._leaf is None:
            raise TlsMaterialError("no certificate yet")
        return self._crowd.credentials(self._leaf.material)

    def _draw(self) -> float:
        return int.from_bytes(self._around.entropy(2), "big") / _DRAW


class Crowd:
    """All clients of this process, and what they share."""

    def __init__(self, reader: DesiredReader, issuing: LeafIssuing, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._changed = asyncio.Event()
        self._issuing = issuing
        self._spec = LeafSpec(LIGHT.name, uris=(Deployment().spiffe_id(LIGHT.name),))
        self._asking = asyncio.Lock()
        self._leaf: LightLeaf | None = None
        self._made: tuple[tuple[str, int], LinkCredentials] | None = None
        self.turns = asyncio.Semaphore(_AT_A_TIME)
        self.clients: Sequence[LightClient] = ()
        self.repeats = 0
        self.last_repeat = ""

    @property
    def newest(self) -> DesiredState | None:
        """The newest state this process has seen."""
        return self._reader.newest

    async def leaf(self, desired: DesiredState) -> LightLeaf:
        """Return a leaf of the active issuer, new when the one there is is another's or is old.

        Raises:
            SvcError: it could not be issued.
        """
        async with self._asking:
            leaf = self._leaf
            if (
                leaf is None
                or leaf.material.issuer != desired.active
                or self._clock.now() >= leaf.renew_at
            ):
                material = await self._issuing.issue(self._spec, desired, desired.active)
                life = material.not_after - material.issued_at
                leaf = LightLeaf(material, material.issued_at + life * _RENEWED_AT)
                self._leaf = leaf
            return leaf

    def credentials(self, material: TlsMaterial) -> LinkCredentials:
        """Return ``material`` with the trust of now, for a connection.

        Raises:
            TlsMaterialError: nothing is known of what to trust.
        """
        desired = self.newest
        if desired is None:
            raise TlsMaterialError("no desired state yet")
        key = (material.chain_pem, desired.version)
        if self._made is None or self._made[0] != key:
            trusting = retrusted(material, self._spec, desired)
            context = client_context(trusting)
            self._made = (key, LinkCredentials(context, trusting.issuer, trusting.chain_pem))
        return self._made[1]

    async def next_state(self, known: DesiredState | None, pause: timedelta) -> DesiredState:
        """Return the newest state: once it is another than ``known``, or after ``pause``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pause.total_seconds() if known else None):
                while self.newest is None or self.newest is known:
                    await self._changed.wait()
        return self.newest or await self.next_state(known, pause)

    async def read(self) -> None:
        """Look for another state for ever."""
        while True:
            known = self._reader.newest
            try:
                await self._reader.read()
            except SvcError as err:
                self.repeats += 1
                self.last_repeat = f"{err} [{err.code}]"
            if self._reader.newest is not known:
                changed, self._changed = self._changed, asyncio.Event()
                changed.set()
            await asyncio.sleep(_LOOK_S)

    def counts(self) -> LightCounts:
        """Return how everybody is now."""
        connections = [client.connection for client in self.clients]
        parties: tuple[Crowd | LightClient, ...] = (self, *self.clients)
        return LightCounts(
            count=len(connections),
            connected=sum(c.is_connected for c in connections),
            by_issuer=dict(Counter(c.issuer for c in connections if c.issuer)),
            swaps=sum(c.swaps for c in connections),
            losses=sum(c.losses for c in connections),
            failures=LightLink.failures,
            repeats=sum(party.repeats for party in parties),
            last_failure=LightLink.last_failure,
            last_repeat=next((p.last_repeat for p in parties if p.last_repeat), ""),
        )
