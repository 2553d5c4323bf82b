"""Following the ACL manifest: a good one is taken over whole, anything else changes nothing."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

import structlog

from services.metadata.ports import AclManifest
from svc_core.domain.acl import Acl, AclWarning, acl_from_roles
from svc_core.domain.identity import ServiceName
from svc_core.errors import ConfigError
from svc_core.placed_yaml import parse_yaml
from svc_core.runtime.health import Health
from svc_core.runtime.wakeup import Wakeup

log = structlog.get_logger()

Known = frozenset[ServiceName]

_VERBS: Final = frozenset({"publish", "subscribe"})


class AclSource:
    """The ACL as of now: replaced as a whole, never changed."""

    def __init__(self, acl: Acl) -> None:
        self._current = acl
        self._waiting: list[Wakeup] = []

    @property
    def current(self) -> Acl:
        """The last good one."""
        return self._current

    def wake(self, *waiting: Wakeup) -> None:
        """Set these whenever there is another ACL."""
        self._waiting += waiting

    def replace(self, acl: Acl) -> None:
        """Take over ``acl``."""
        self._current = acl
        for wakeup in self._waiting:
            wakeup.set()


class AclFollower:
    """The loop that reads the manifest whenever it may have changed."""

    name: Final = "acl_following"

    def __init__(
        self, manifest: AclManifest, source: AclSource, known: Known, health: Health
    ) -> None:
        self._manifest = manifest
        self._source = source
        self._known = known
        self._health = health
        self._judged: bytes | None = b""

    async def run(self) -> None:
        """Follow for ever."""
        async with aclosing(self._manifest.follow()) as versions:
            async for raw in versions:
                if raw != self._judged:
                    self._judged = raw
                    self._consider(raw)
                self._health.beat(self.name)

    def _consider(self, raw: bytes | None) -> None:
        if raw is None:
            log.warning("acl.missing", manifest=self._manifest.name)
            return
        try:
            acl, warnings = parse_acl(raw, name=self._manifest.name, known=self._known)
        except ConfigError as err:
            log.warning("acl.refused", reason=str(err))
            return
        report_ignored(warnings)
        before = self._source.current
        if acl == before:
            return
        self._source.replace(acl)
        log.info(
            "acl.changed",
            added=sorted(set(acl.services) - set(before.services)),
            removed=sorted(set(before.services) - set(acl.services)),
            altered=sorted(
                service
                for service in set(acl.services) & set(before.services)
                if acl.services[service] != before.services[service]
            ),
        )


async def read_acl(manifest: AclManifest, *, known: Known) -> Acl:
    """Return the ACL as it is now, to begin with.

    Raises:
        ConfigError: there is none, or it is not of the right shape.
        KubernetesError, AccessDeniedError: it cannot be read now.
    """
    async with aclosing(manifest.follow()) as versions:
        raw = await anext(versions)
    if raw is None:
        raise ConfigError(f"{manifest.name}: there is no ACL manifest")
    acl, warnings = parse_acl(raw, name=manifest.name, known=known)
    report_ignored(warnings)
    return acl


def parse_acl(raw: bytes, *, name: str, known: Known) -> tuple[Acl, tuple[AclWarning, ...]]:
    """Return the ACL in a manifest and what in it grants nothing.

    Args:
        raw: YAML.
        name: as mistakes should call the manifest.
        known: services that exist in this deployment.

    Raises:
        ConfigError: not YAML, or not of the shape ``roles: {service: {publish: […],
            subscribe: […]}}``.
    """
    document = parse_yaml(raw, name=name)
    roles = document.data.get("roles")
    if not isinstance(roles, Mapping):
        raise ConfigError(f"{name}: want a mapping called `roles` at the top")
    for role, lists in roles.items():
        if not isinstance(lists, Mapping) or not set(lists) <= _VERBS:
            place = document.place(("roles", role))
            raise ConfigError(f"{place}: roles.{role}: want `publish` and `subscribe` lists")
        for verb, entries in lists.items():
            if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
                place = document.place(("roles", role, verb))
                raise ConfigError(f"{place}: roles.{role}.{verb}: want a list of subjects")
    return acl_from_roles(roles, known=known)


def report_ignored(warnings: tuple[AclWarning, ...]) -> None:
    """Say which entries grant nothing."""
    for warning in warnings:
        log.warning(
            "acl.entry_ignored", of=warning.service, entry=warning.entry, reason=warning.reason
        )
