"""Shaking hands with every server all the time, as a client that does what it is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from svc_core.adapters.nats_canary import prove_server
from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_leaves import OpenBaoCertificateIssuer
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.domain.desired import DesiredState
from svc_core.domain.identity import CANARY, WATCHER
from svc_core.domain.tls import TlsMaterial
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec
from svc_core.runtime.health import Health
from svc_core.runtime.surroundings import Surroundings
from tests.builders import SUITE
from tests.integration.bare_stack import DEPLOYMENT, PROFILE, ReachableOpenBao

_PAUSE_S: Final = 0.1
_SPEC: Final = LeafSpec(CANARY, (DEPLOYMENT.spiffe_id(CANARY),))


@dataclass(slots=True)
class Prober:
    """One client per server, each handshake a new connection."""

    issuing: LeafIssuing
    urls: Sequence[str]
    handshakes: int = 0
    failures: list[str] = field(default_factory=list)
    is_ended: bool = False
    _material: TlsMaterial | None = None

    async def adopt(self, desired: DesiredState) -> None:
        """Trust what ``desired`` trusts and use a leaf of its active issuer from now on."""
        self._material = await self.issuing.issue(_SPEC, desired, desired.active)

    async def probe(self, url: str) -> None:
        """Shake hands until `is_ended`; a handshake cut short by a cancellation may eat it."""
        while not self.is_ended:
            if self._material is not None:
                failure = await prove_server(url, self._material)
                self.handshakes += 1
                if failure:
                    self.failures.append(f"{url}: {failure}")
            await asyncio.sleep(_PAUSE_S)


@asynccontextmanager
async def open_prober(openbao: ReachableOpenBao, urls: Sequence[str]) -> AsyncIterator[Prober]:
    """Probe from the first `Prober.adopt` to the end of the context."""
    clock = SystemClock()
    around = Surroundings(clock, system_entropy, PROFILE, Health(clock), SUITE)
    async with open_openbao(openbao.settings(WATCHER), WATCHER) as session:
        prober = Prober(LeafIssuing(OpenBaoCertificateIssuer(session), around), urls)
        async with asyncio.TaskGroup() as tasks:
            for url in urls:
                tasks.create_task(prober.probe(url))
            try:
                yield prober
            finally:
                prober.is_ended = True
