"""What changes between two ACLs, and whom it touches: permissions, topics, keys, bundles, users.

Both are validated already; nothing here knows the text they came from. Every sequence is sorted,
so the same two ACLs always give the same diff.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from svc_core.domain.acl import PUBLISH, SUBSCRIBE, Acl, ServicePermissions
from svc_core.domain.identity import METADATA, ServiceName, Subject
from svc_core.domain.subjects import DURABLES, is_data_topic

_NOTHING: Final = ServicePermissions(frozenset(), frozenset())
_STREAMED: Final = frozenset(durable.filter_subject for durable in DURABLES)
"""The topics that occur in anybody's NATS permissions; see `svc_core.domain.nats_accounts`."""


@dataclass(frozen=True, slots=True, order=True)
class TopicRight:
    """One thing one service may do."""

    service: ServiceName
    topic: Subject
    verb: str
    """``publish`` or ``subscribe``."""


@dataclass(frozen=True, slots=True)
class AclDiff:
    """Everything that changes; all empty when nothing does."""

    granted: tuple[TopicRight, ...] = ()
    withdrawn: tuple[TopicRight, ...] = ()
    topics_added: tuple[Subject, ...] = ()
    """Topics nobody had a right on before."""
    topics_removed: tuple[Subject, ...] = ()
    """Topics nobody has a right on any more."""
    services_added: tuple[ServiceName, ...] = ()
    services_removed: tuple[ServiceName, ...] = ()
    topics_to_roll: tuple[Subject, ...] = ()
    """Topics with keys on which somebody lost a right: whoever has a right on them later, from
    now on or after they come back, gets keys that the loser never had. Some of them may be
    removed, and then there is no key to make now."""
    bundles: tuple[ServiceName, ...] = ()
    """Services whose bundle must be issued again: their permissions, the producers of what they
    consume, or a key of theirs change. Removed services are not among them; they get none."""
    nats_users: tuple[ServiceName, ...] = ()
    """Services whose NATS permissions change, or that get or lose their user."""

    @property
    def is_empty(self) -> bool:
        """Whether both ACLs say the same."""
        return not (self.granted or self.withdrawn or self.services_added or self.services_removed)

    @property
    def keys_to_make(self) -> tuple[Subject, ...]:
        """The topics to roll that somebody still has a right on."""
        gone = set(self.topics_removed)
        return tuple(t for t in self.topics_to_roll if t not in gone)


def diff_acls(before: Acl, after: Acl) -> AclDiff:
    """Return what changes when ``after`` takes the place of ``before``."""
    granted, withdrawn = tuple(_gained(before, after)), tuple(_gained(after, before))
    topics_before, topics_after = before.topics, after.topics
    rolled = {right.topic for right in withdrawn if is_data_topic(right.topic)}
    return AclDiff(
        granted=granted,
        withdrawn=withdrawn,
        topics_added=tuple(sorted(topics_after - topics_before)),
        topics_removed=tuple(sorted(topics_before - topics_after)),
        services_added=tuple(sorted(after.services.keys() - before.services.keys())),
        services_removed=tuple(sorted(before.services.keys() - after.services.keys())),
        topics_to_roll=tuple(sorted(rolled)),
        bundles=tuple(sorted(_bundles(before, after, (*granted, *withdrawn), rolled))),
        nats_users=tuple(sorted(_users(before, after))),
    )


def apply_diff(acl: Acl, diff: AclDiff) -> Acl:
    """Return ``acl`` with ``diff`` carried out.

    Raises:
        ValueError: the diff was not made from ``acl``.
    """
    removed = set(diff.services_removed)
    rights = set(_rights(acl))
    if not rights.isdisjoint(diff.granted) or not rights.issuperset(diff.withdrawn):
        raise ValueError("the diff was made from another ACL")
    if not removed <= acl.services.keys() or not acl.services.keys().isdisjoint(
        diff.services_added
    ):
        raise ValueError("the diff was made from another ACL")
    kept = (acl.services.keys() - removed) | set(diff.services_added)
    lists: dict[ServiceName, dict[str, set[Subject]]] = {
        service: {PUBLISH: set(), SUBSCRIBE: set()} for service in kept
    }
    for right in rights.difference(diff.withdrawn).union(diff.granted):
        lists[right.service][right.verb].add(right.topic)
    return Acl(
        {
            service: ServicePermissions(frozenset(mine[PUBLISH]), frozenset(mine[SUBSCRIBE]))
            for service, mine in lists.items()
        }
    )


def _gained(before: Acl, after: Acl) -> Iterator[TopicRight]:
    """Yield the rights in ``after`` that are not in ``before``, sorted."""
    for service in sorted(after.services):
        old, new = before.services.get(service, _NOTHING), after.services[service]
        if old == new:
            continue
        found = [TopicRight(service, t, PUBLISH) for t in new.publish - old.publish]
        found += [TopicRight(service, t, SUBSCRIBE) for t in new.subscribe - old.subscribe]
        yield from sorted(found)


def _rights(acl: Acl) -> Iterator[TopicRight]:
    for service, permissions in acl.services.items():
        yield from (TopicRight(service, topic, PUBLISH) for topic in permissions.publish)
        yield from (TopicRight(service, topic, SUBSCRIBE) for topic in permissions.subscribe)


def _bundles(
    before: Acl, after: Acl, changed: Iterable[TopicRight], rolled: set[Subject]
) -> Iterator[ServiceName]:
    data = [right for right in changed if is_data_topic(right.topic)]
    own = {right.service for right in data}
    # Whoever consumes a topic holds the list of its producers and their verify keys.
    other_producers = {right.topic for right in data if right.verb == PUBLISH}
    for service, permissions in after.services.items():
        if (
            service in own
            or service not in before.services
            or not permissions.subscribe.isdisjoint(other_producers)
            or not permissions.publish.isdisjoint(rolled)
            or not permissions.subscribe.isdisjoint(rolled)
        ):
            yield service


def _users(before: Acl, after: Acl) -> Iterator[ServiceName]:
    for service in before.services.keys() | after.services.keys():
        if _streamed(before, service) != _streamed(after, service):
            yield service


def _streamed(acl: Acl, service: ServiceName) -> tuple[frozenset[Subject], ...] | None:
    """Return what decides over the NATS permissions of ``service``; None without a user."""
    permissions = acl.services.get(service)
    if permissions is None:
        # Metadata has a user whatever the manifest says, or nobody could say anything.
        return (frozenset(), frozenset()) if service == METADATA else None
    return permissions.publish & _STREAMED, permissions.subscribe & _STREAMED
