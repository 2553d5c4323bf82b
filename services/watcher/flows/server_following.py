"""Following the desired state on the whole cluster: newest version wins, all servers or none."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from services.watcher.domain.monitoring import ServerFacts
from services.watcher.domain.server_files import trust_files
from services.watcher.flows.material_keeping import MaterialKeeper, PublishedMaterial
from services.watcher.flows.propagation import Propagation
from services.watcher.flows.reload_metrics import ReloadMetrics
from services.watcher.flows.server_keeping import (
    NOT_CONFIRMED,
    NOT_LOADED,
    NOT_RUNNING,
    ServerKeeper,
)
from services.watcher.ports import FileTarget, OperatorEvents, SystemAccount
from svc_core.crypto.certificates import check_chain
from svc_core.domain.desired import DesiredState
from svc_core.domain.status import ServerStatus
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import (
    AccessDeniedError,
    BusError,
    RejectedError,
    SecretStoreError,
    SvcError,
    TlsMaterialError,
    UntrustedAnswerError,
)
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec
from svc_core.runtime.backoff import Backoff
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup

log = structlog.get_logger()

_LOOK_AGAIN: Final = timedelta(seconds=0.5)
_UNDECIDED: Final = frozenset({NOT_LOADED, NOT_CONFIRMED})
"""Neither a reload that was verified nor one that failed: the next look will tell."""
AT_ONCE: Final = Backoff(timedelta(seconds=0.25), timedelta(seconds=0.25))
"""The pace where files are there as soon as they are published."""
BY_KUBELET: Final = Backoff(timedelta(seconds=0.25), timedelta(seconds=3))
"""The pace where files arrive on somebody else's schedule, and every look costs an API call."""


@dataclass(frozen=True, slots=True)
class ServerGroup:
    """Servers that read the same files: one each on a machine, all of them in Kubernetes."""

    material: MaterialKeeper
    servers: Sequence[ServerKeeper]


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at every server: what it goes by, and what came of it."""

    desired: DesiredState
    canary: TlsMaterial
    facts: Mapping[str, ServerFacts]
    reloaded: list[ServerKeeper] = field(default_factory=list)
    failures: list[SvcError] = field(default_factory=list)


class ServerFollower:
    """The loop that keeps every server on the newest desired state."""

    name: Final = "server_following"

    def __init__(
        self,
        reader: DesiredReader,
        groups: Sequence[ServerGroup],
        trust: FileTarget,
        system: SystemAccount,
        canaries: "Canaries",
        around: Surroundings,
    ) -> None:
        self._reader = reader
        self._groups = groups
        self._keepers = [keeper for group in groups for keeper in group.servers]
        self._trust = trust
        self._system = system
        self._canaries = canaries
        self._around = around
        self.hinted = Wakeup()
        """Set to look at once."""
        self.acknowledged = Wakeup()
        """Set whenever a server's state changed."""
        self.metrics: ReloadMetrics | None = None
        self.events: OperatorEvents | None = None
        self.pace = AT_ONCE
        """How soon servers are asked again that do not run with what they should."""
        self._delays = iter(self.pace)
        self._propagation = Propagation(around.clock)

    @property
    def servers(self) -> tuple[ServerStatus, ...]:
        """Return what is known of every server."""
        return tuple(keeper.status for keeper in self._keepers)

    async def run(self) -> None:
        """Follow for ever."""
        hinted, version = False, 0
        while True:
            desired = await (
                self._reader.read_hinted(above=version) if hinted else self._reader.read()
            )
            version = desired.version if desired is not None else 0
            healthy = desired is not None and await self._follow_patiently(desired)
            if healthy:
                self._around.health.beat(self.name)
                self._delays = iter(self.pace)
            pause = _LOOK_AGAIN if healthy else next(self._delays)
            hinted = await self.hinted.wait(pause.total_seconds())

    async def _follow_patiently(self, desired: DesiredState) -> bool:
        """Follow; while OpenBao is away, ask again at this loop's own pace."""
        try:
            return await self._follow(desired)
        except* SecretStoreError as errors:
            self._around.health.fail(self.name, str(errors.exceptions[0]))
        return False

    async def _follow(self, desired: DesiredState) -> bool:
        await self._publish_trust(desired)
        canary = await self._canaries.of_newest(desired)
        look = _Look(desired, canary, await self._facts())
        began = self._around.clock.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for group in self._groups:
                tasks.create_task(self._keep_group(group, look, tasks))
        self._note(look.reloaded, self._around.clock.monotonic() - began)
        if look.failures:
            # Only now, since the other servers are none the worse for it.
            raise ExceptionGroup("some material could not be kept", look.failures)
        return self._conclude(desired)

    async def _keep_group(self, group: ServerGroup, look: _Look, tasks: asyncio.TaskGroup) -> None:
        try:
            material = await group.material.keep(look.desired)
        except SvcError as err:
            look.failures.append(err)
            return
        for keeper in group.servers:
            tasks.create_task(self._keep(keeper, material, look))

    async def _keep(self, keeper: ServerKeeper, material: PublishedMaterial, look: _Look) -> None:
        if self._propagation.begin(keeper.name, material.digest):
            self._delays = iter(self.pace)
        before = keeper.status
        if await keeper.keep(look.desired, material, look.canary, look.facts):
            look.reloaded.append(keeper)
        if keeper.status != before:
            # Said at once: another server may take seconds to show that it does not answer.
            self.acknowledged.set()

    def _note(self, reloaded: Sequence[ServerKeeper], took_s: float) -> None:
        for keeper in self._keepers:
            error = keeper.status.error
            self._tell(keeper.name, error)
            if self.metrics is not None and keeper in reloaded and error not in _UNDECIDED:
                self.metrics.reloaded(error=error)
        if self.metrics is not None and reloaded:
            self.metrics.orchestration.observe(took_s)

    def _tell(self, server: str, error: str) -> None:
        if not error:
            took = self._propagation.arrived(server)
            if took is not None and self.metrics is not None:
                self.metrics.propagation.observe(took.total_seconds())
        elif error == NOT_LOADED:
            waited = self._propagation.missed(server)
            if waited is not None and self.events is not None:
                self.events.propagation_slow(server, waited)
        elif self.events is not None and error != NOT_RUNNING:
            self.events.reload_failed(server, error)

    def _conclude(self, desired: DesiredState) -> bool:
        errors = {status.error for status in self.servers} - {""}
        if not errors:
            if self.events is not None:
                self.events.applied(version=desired.version, active=desired.active)
            return True
        if errors == {NOT_LOADED} and not self._propagation.is_slow:
            # Everything that can be done is done; the servers are well with what they have.
            waiting = ", ".join(self._propagation.missing)
            self._around.health.beat(self.name, f"published, not yet at {waiting}")
        return False

    async def _publish_trust(self, desired: DesiredState) -> None:
        self._check_chain(desired)
        files = trust_files(desired)
        if await self._trust.fetch(tuple(files)) != files:
            await self._trust.publish(files)
            log.info("trust.published", version=desired.version)

    def _check_chain(self, desired: DesiredState) -> None:
        now = self._around.clock.now()
        try:
            for trust_pem in (desired.trust_pem, desired.route_trust_pem):
                check_chain(trust_pem, desired.anchor_pem, now=now)
        except TlsMaterialError as err:
            raise UntrustedAnswerError(f"servers must not be told to trust it: {err}") from err

    async def _facts(self) -> Mapping[str, ServerFacts]:
        try:
            return await self._system.fetch_facts()
        except (BusError, AccessDeniedError, RejectedError):
            return {}


class Canaries:
    """Leaves that may do nothing, of the newest trusted issuer; renewed when they get old."""

    def __init__(self, issuing: LeafIssuing, spec: LeafSpec, around: Surroundings) -> None:
        self._issuing = issuing
        self._spec = spec
        self._around = around
        self._canary: TlsMaterial | None = None

    async def of_newest(self, desired: DesiredState) -> TlsMaterial:
        """Return a canary of the newest issuer in the trusted set, trusting what it trusts."""
        newest = max(desired.issuers, key=lambda issuer: issuer.epoch)
        have = self._canary
        if (
            have is None
            or have.issuer != newest.name
            or have.trust_pem != desired.trust_pem
            or self._around.clock.now() >= have.renew_at(0.5)
        ):
            self._canary = have = await self._issuing.issue(self._spec, desired, newest.name)
        return have
