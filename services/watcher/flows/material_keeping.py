"""Keeping one set of server files: certificates issued and renewed, published whole, repaired."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from services.watcher.domain.server_files import ServerCertificates, digest, server_files
from services.watcher.ports import FileTarget
from svc_core.domain.desired import DesiredState
from svc_core.domain.identity import NATS_ROUTE, NATS_SERVER, Deployment
from svc_core.flows.leaf_issuing import ROUTE_MOUNT, LeafIssuing, LeafSpec
from svc_core.runtime.surroundings import Surroundings

log = structlog.get_logger()

_DRAW: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class ServerNames:
    """What the certificates are for."""

    dns: tuple[str, ...]
    ips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PublishedMaterial:
    """One published set, as its servers should say that they have loaded it."""

    digest: str
    issuer: str


@dataclass(slots=True)
class MaterialKeeper:
    """One place that servers read their files from: a directory each, or one Secret for all."""

    names: ServerNames
    target: FileTarget
    issuing: LeafIssuing
    around: Surroundings
    deployment: Deployment
    _certificates: ServerCertificates | None = field(default=None)
    _renew_at: datetime | None = field(default=None)
    _published: str = field(default="")

    async def keep(self, desired: DesiredState) -> PublishedMaterial:
        """Publish what ``desired`` asks for, unless it is there already."""
        certificates = await self._current_certificates(desired)
        files = server_files(desired, certificates, self.deployment)
        wanted = digest(files)
        found = await self.target.fetch(tuple(files))
        if found is None or digest(found) != wanted:
            if self._published == wanted:
                log.warning("material.drift_repaired", names=self.names.dns)
            await self.target.publish(files)
            self._published = wanted
            log.info("material.published", version=desired.version, active=desired.active)
        tagged = files["accounts.conf"].split(b'"')[1].decode()
        return PublishedMaterial(tagged.partition(":")[2], certificates.server.issuer)

    async def _current_certificates(self, desired: DesiredState) -> ServerCertificates:
        now = self.around.clock.now()
        have = self._certificates
        if (
            have is not None
            and have.server.issuer == desired.active
            and self._renew_at is not None
            and now < self._renew_at
        ):
            return have
        fresh = ServerCertificates(
            await self.issuing.issue(self._server_spec(), desired, desired.active),
            await self.issuing.issue(self._route_spec(), desired, desired.active),
        )
        self._certificates = fresh
        draw = int.from_bytes(self.around.entropy(2), "big") / _DRAW
        self._renew_at = min(fresh.server.renew_at(draw), fresh.route.renew_at(draw))
        return fresh

    def _server_spec(self) -> LeafSpec:
        return LeafSpec(NATS_SERVER, (), self.names.dns, self.names.ips, server=True)

    def _route_spec(self) -> LeafSpec:
        uris = (self.deployment.spiffe_id(NATS_ROUTE),)
        return LeafSpec(
            NATS_ROUTE, uris, self.names.dns, self.names.ips, server=True, mount=ROUTE_MOUNT
        )
