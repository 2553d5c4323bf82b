"""ACLs to measure: the one that is shipped, and any number of topics and services."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from svc_core.domain.acl import Acl
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    GATEKEEPER,
    METADATA,
    WATCHER,
    ServiceName,
)
from svc_core.errors import ConfigError
from svc_core.wire import acl_manifest

_SHIPPED: Final = frozenset({METADATA, WATCHER, GATEKEEPER, AUTHCONTROLLER})

Roles = Mapping[str, Mapping[str, list[str]]]


@dataclass(frozen=True, slots=True)
class Shape:
    """One manifest, and another that takes a right from every service."""

    manifest: bytes
    known: frozenset[ServiceName]
    acl: Acl
    changed: Acl


def shipped(manifest: bytes) -> Shape:
    """Return ``manifest``, that of the four services; changed, Gatekeeper may consume nothing."""
    acl = _judged(manifest, _SHIPPED)
    fewer = replace(acl.services[GATEKEEPER], subscribe=frozenset())
    return Shape(manifest, _SHIPPED, acl, Acl({**acl.services, GATEKEEPER: fewer}))


def made_up(*, topics: int, services: int, consumers: int) -> Shape:
    """Return a manifest in which every topic has one producer and so many consumers.

    Each service produces as many topics as the others, and what it consumes comes from as many of
    them as can be: that makes the largest bundles. Changed, every service produces one topic less.

    Raises:
        ValueError: fewer topics than services, or not more services than consumers.
    """
    if topics < services or services <= consumers:
        raise ValueError("every service needs a topic, and every topic a producer and consumers")
    roles = _roles(topics, services, consumers)
    fewer = {
        name: {"publish": lists["publish"][1:], "subscribe": lists["subscribe"]}
        for name, lists in roles.items()
    }
    known = frozenset(ServiceName(name) for name in roles)
    raw = _written(roles)
    return Shape(raw, known, _judged(raw, known), _judged(_written(fewer), known))


def _roles(topics: int, services: int, consumers: int) -> dict[str, dict[str, list[str]]]:
    names = [f"service-{number:03}" for number in range(services)]
    roles: dict[str, dict[str, list[str]]] = {n: {"publish": [], "subscribe": []} for n in names}
    for number in range(topics):
        producer, lap = number % services, number // services
        topic = f"{names[producer]}.topic-{number:05}"
        roles[names[producer]]["publish"].append(topic)
        for place in range(consumers):
            # Another distance each time, and never 0: nobody consumes what it produces.
            distance = 1 + (lap * consumers + place) % (services - 1)
            roles[names[(producer + distance) % services]]["subscribe"].append(topic)
    return roles


def _written(roles: Roles) -> bytes:
    lines = ["roles:"]
    for name, lists in roles.items():
        lines.append(f"  {name}:")
        for verb, entries in lists.items():
            lines.append(f"    {verb}:" if entries else f"    {verb}: []")
            lines += [f"      - {entry}" for entry in entries]
    return "\n".join([*lines, ""]).encode()


def _judged(raw: bytes, known: frozenset[ServiceName]) -> Acl:
    judged = acl_manifest.decode(raw, known=known)
    if judged.acl is None:
        raise ConfigError("\n".join(p.described("manifest") for p in judged.errors))
    return judged.acl
