"""Many clients that only hold a connection and follow rotations, in one process.

Each has a key and a leaf of its own and moves its connection as every service does: when another
issuer is active, within the same jitter, make before break. What is shared is what would only cost
more a hundred times: one reader of the desired state, and one session with OpenBao.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Final

from devstack.bootstrap import log_in
from devstack.guests import LIGHT
from devstack.layout import Layout
from devstack.openbao_api import OpenBaoApi
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
from svc_core.ports.certificates import LeafRequest
from svc_core.runtime.surroundings import Surroundings

_LOOK_S: Final = 0.1
_AT_A_TIME: Final = 10
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


class SessionIssuer:
    """`CertificateIssuer` over one keep-alive session, which logs in anew when its token ends."""

    def __init__(self, api: OpenBaoApi, layout: Layout) -> None:
        self._api = api
        self._layout = layout
        self._session: OpenBaoApi | None = None
        self._logging_in = asyncio.Lock()

    async def sign_leaf(self, request: LeafRequest) -> str:
        """Return the leaf certificate as PEM (without its chain)."""
        path = f"{request.mount}/issuer/{request.issuer}/sign/{request.role}"
        body = {"csr": request.csr_pem, "ttl": f"{int(request.ttl.total_seconds())}s"}
        session = await self._logged_in(None)
        try:
            answer = await session.write(path, body)
        except AccessDeniedError:
            answer = await (await self._logged_in(session)).write(path, body)
        return str(answer["data"]["certificate"]).strip() + "\n"

    async def _logged_in(self, stale: OpenBaoApi | None) -> OpenBaoApi:
        async with self._logging_in:
            if self._session is None or self._session is stale:
                self._session = await log_in(self._api, self._layout, LIGHT.name)
            return self._session


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


class LightClient:
    """One client: its leaf, its connection, and when to replace both."""

    def __init__(self, name: str, nats: NatsSettings, crowd: "Crowd", around: Surroundings) -> None:
        self._crowd = crowd
        self._around = around
        self._spec = LeafSpec(LIGHT.name, uris=(Deployment().spiffe_id(LIGHT.name),))
        self._material: TlsMaterial | None = None
        self._move_at: datetime | None = None
        self._renew_at: datetime | None = None
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
            material = await self._crowd.issuing.issue(self._spec, desired, desired.active)
            self._material, self._move_at = material, None
            life = material.not_after - material.issued_at
            self._renew_at = material.issued_at + life * _RENEWED_AT
        if self._has_newer_leaf:
            async with self._crowd.turns:
                await self.connection.swap()

    @property
    def _has_newer_leaf(self) -> bool:
        in_use = self.connection.leaf_in_use
        return bool(in_use) and self._material is not None and in_use != self._material.chain_pem

    def _is_due(self, desired: DesiredState) -> bool:
        now, material = self._around.clock.now(), self._material
        if material is None or desired.issuer(material.issuer) is None:
            return True
        if material.issuer != desired.active:
            if self._move_at is None:
                self._move_at = now + self._around.profile.activation_jitter * self._draw()
            return now >= self._move_at
        return self._renew_at is None or now >= self._renew_at

    def _pause(self) -> timedelta:
        now = self._around.clock.now()
        deadlines = [at for at in (self._move_at, self._renew_at) if at is not None]
        soonest = self._again_at or min(deadlines, default=now)
        return max(soonest - now, _LEAST_PAUSE)

    def _credentials(self) -> LinkCredentials:
        desired = self._crowd.newest
        if self._material is None or desired is None:
            raise TlsMaterialError("no certificate yet")
        material = retrusted(self._material, self._spec, desired)
        return LinkCredentials(client_context(material), material.issuer, material.chain_pem)

    def _draw(self) -> float:
        return int.from_bytes(self._around.entropy(2), "big") / _DRAW


class Crowd:
    """All clients of this process, and the one reader they share."""

    def __init__(self, reader: DesiredReader, issuing: LeafIssuing) -> None:
        self._reader = reader
        self._changed = asyncio.Event()
        self.issuing = issuing
        self.turns = asyncio.Semaphore(_AT_A_TIME)
        self.clients: Sequence[LightClient] = ()
        self.repeats = 0
        self.last_repeat = ""

    @property
    def newest(self) -> DesiredState | None:
        """The newest state this process has seen."""
        return self._reader.newest

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
