"""Who may publish and who may consume what: the parsed ACL manifest and questions about it.

Wildcard entries and names that are no services get a warning, no key and no NATS permission, so
the prototype's manifest is accepted as it is and grants nothing by accident.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from svc_core.domain.identity import ServiceName, Subject, service_name, subject
from svc_core.domain.keys import TopicPermission


@dataclass(frozen=True, slots=True)
class ServicePermissions:
    """The literal subjects one service may publish on and consume."""

    publish: frozenset[Subject]
    subscribe: frozenset[Subject]

    @property
    def topics(self) -> frozenset[Subject]:
        """Every topic this service needs a key for."""
        return self.publish | self.subscribe


@dataclass(frozen=True, slots=True)
class Acl:
    """Permissions of every service; immutable, replaced as a whole."""

    services: Mapping[ServiceName, ServicePermissions]

    @property
    def topics(self) -> frozenset[Subject]:
        """Every topic anyone may touch."""
        return frozenset().union(*(p.topics for p in self.services.values()))

    def producers(self, topic: Subject) -> frozenset[ServiceName]:
        """Return the services that may publish on ``topic``."""
        return frozenset(s for s, p in self.services.items() if topic in p.publish)

    def permissions(self, service: ServiceName) -> tuple[TopicPermission, ...]:
        """Return what ``service`` may do, sorted by topic; empty for an unknown service."""
        mine = self.services.get(service)
        if mine is None:
            return ()
        return tuple(
            TopicPermission(topic, topic in mine.publish, topic in mine.subscribe)
            for topic in sorted(mine.topics)
        )


@dataclass(frozen=True, slots=True)
class AclWarning:
    """One entry of a manifest that grants nothing, and why."""

    service: str
    entry: str
    reason: str


def acl_from_roles(
    roles: Mapping[str, Mapping[str, Iterable[str]]], *, known: frozenset[ServiceName]
) -> tuple[Acl, tuple[AclWarning, ...]]:
    """Build an `Acl` from ``{service: {publish: [...], subscribe: [...]}}``.

    Args:
        roles: the manifest's ``roles`` mapping, already of the right shape.
        known: services that exist in this deployment; others get a warning and nothing else.
    """
    warnings: list[AclWarning] = []
    services: dict[ServiceName, ServicePermissions] = {}
    for name, lists in roles.items():
        if name not in known:
            warnings.append(AclWarning(name, "*", "not a service of this deployment"))
            continue
        granted: dict[str, set[Subject]] = {"publish": set(), "subscribe": set()}
        for verb, entries in lists.items():
            for entry in entries:
                try:
                    granted[verb].add(subject(entry))
                except ValueError:
                    warnings.append(AclWarning(name, entry, "wildcard or illegal subject"))
        services[service_name(name)] = ServicePermissions(
            frozenset(granted["publish"]), frozenset(granted["subscribe"])
        )
    return Acl(services), tuple(warnings)
