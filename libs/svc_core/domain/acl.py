"""Who may publish and who may consume what: the parsed ACL manifest and questions about it.

Wildcard entries and names that are no services are accepted with a warning and get no key and no
NATS permission, so the prototype's manifest is accepted as it is and grants nothing by accident.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from svc_core.domain.acl_entries import Finding, Severity, judge_entry, shown
from svc_core.domain.identity import ServiceName, Subject, service_name
from svc_core.domain.keys import TopicPermission

PUBLISH: Final = "publish"
SUBSCRIBE: Final = "subscribe"
VERBS: Final = (PUBLISH, SUBSCRIBE)

Roles = Mapping[str, Mapping[str, Sequence[str]]]
"""``{service: {publish: [...], subscribe: [...]}}``, of the right shape but otherwise unjudged."""

_SIMILAR: Final = 0.6
_GUESSES: Final = 50


@lru_cache(maxsize=4096)
def _shared(topics: frozenset[Subject]) -> frozenset[Subject]:
    """Return ``topics``, one and the same set for the same topics.

    The rights of now are remembered many times, with each generation of keys for one; of ten
    thousand topics that is much to keep, to compare, and to look through for garbage.
    """
    return topics


@dataclass(frozen=True, slots=True)
class ServicePermissions:
    """The literal subjects one service may publish on and consume."""

    publish: frozenset[Subject]
    subscribe: frozenset[Subject]

    def __post_init__(self) -> None:
        object.__setattr__(self, "publish", _shared(self.publish))
        object.__setattr__(self, "subscribe", _shared(self.subscribe))

    @property
    def topics(self) -> frozenset[Subject]:
        """Every topic this service needs a key for."""
        return self.publish | self.subscribe


@dataclass(frozen=True, slots=True)
class Acl:
    """Permissions of every service; immutable, replaced as a whole."""

    services: Mapping[ServiceName, ServicePermissions]
    _producers: Mapping[Subject, frozenset[ServiceName]] | None = field(
        default=None, init=False, repr=False, compare=False
    )
    """Made when somebody asks: most of the many ACLs that are remembered are only compared."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "services", MappingProxyType(dict(self.services)))

    @property
    def topics(self) -> frozenset[Subject]:
        """Every topic anyone may touch."""
        return frozenset().union(*(p.topics for p in self.services.values()))

    def producers(self, topic: Subject) -> frozenset[ServiceName]:
        """Return the services that may publish on ``topic``."""
        if self._producers is None:
            object.__setattr__(self, "_producers", _producers_of(self.services))
        return (self._producers or {}).get(topic, frozenset())

    def permissions(self, service: ServiceName) -> tuple[TopicPermission, ...]:
        """Return what ``service`` may do, sorted by topic; empty for an unknown service."""
        mine = self.services.get(service)
        if mine is None:
            return ()
        return tuple(
            TopicPermission(topic, topic in mine.publish, topic in mine.subscribe)
            for topic in sorted(mine.topics)
        )


def _producers_of(
    services: Mapping[ServiceName, ServicePermissions],
) -> Mapping[Subject, frozenset[ServiceName]]:
    found: dict[Subject, tuple[ServiceName, ...]] = {}
    for service, permissions in services.items():
        for topic in permissions.publish:
            found[topic] = (*found.get(topic, ()), service)
    # Of ten thousand topics most have the same few producers: one set for all of them.
    sets = {names: frozenset(names) for names in set(found.values())}
    return {topic: sets[names] for topic, names in found.items()}


@dataclass(frozen=True, slots=True)
class AclRemark:
    """Something to say about one service of a manifest, or about one entry of its lists."""

    service: str
    finding: Finding
    verb: str = ""
    """``publish`` or ``subscribe``; empty when it is about the service."""
    index: int = -1
    """Which entry of that list, from 0; -1 when it is about the service."""
    entry: str = ""

    @property
    def severity(self) -> Severity:
        """What follows from it."""
        return self.finding.severity


def acl_from_roles(
    roles: Roles, *, known: frozenset[ServiceName]
) -> tuple[Acl, tuple[AclRemark, ...]]:
    """Build an `Acl` from roles; what cannot be granted is remarked on and left out.

    The ACL is for use only when no remark is an error.

    Args:
        roles: the manifest's ``roles``.
        known: services that exist in this deployment; others get a warning and nothing else.
    """
    remarks = list(_strangers(roles, known))
    services: dict[ServiceName, ServicePermissions] = {}
    for name, lists in roles.items():
        granted = [_granted(name, verb, lists.get(verb, ()), remarks) for verb in VERBS]
        if name in known:
            services[service_name(name)] = ServicePermissions(*granted)
    return Acl(services), tuple(remarks)


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return `` (did you mean …?)`` with the likeliest of ``choices``, or nothing."""
    close = difflib.get_close_matches(name, sorted(choices), n=1, cutoff=_SIMILAR)
    return f" (did you mean {close[0]}?)" if close else ""


def _strangers(roles: Roles, known: frozenset[ServiceName]) -> Iterator[AclRemark]:
    # Comparing costs time; who misspells more than this has another problem.
    for number, name in enumerate(name for name in roles if name not in known):
        hint = nearest(name, known) if number < _GUESSES else ""
        reason = f"{shown(name)} is not a service of this deployment{hint}: it gets nothing"
        yield AclRemark(name, Finding(Severity.IGNORED, reason))


def _granted(
    service: str, verb: str, entries: Sequence[str], remarks: list[AclRemark]
) -> frozenset[Subject]:
    seen: dict[str, int] = {}
    granted = []
    for index, entry in enumerate(entries):
        finding = judge_entry(entry)
        if finding is None and entry in seen:
            finding = Finding(Severity.DOUBTFUL, f"{entry} is in this list already")
        elif finding is None:
            granted.append(Subject(entry))
        seen.setdefault(entry, index)
        if finding is not None:
            remarks.append(AclRemark(service, finding, verb, index, entry))
    return frozenset(granted)
