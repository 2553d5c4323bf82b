"""Reading the ACL manifest: a YAML file whose mistakes are named with their place."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from svc_core.domain.acl import Acl, AclWarning, acl_from_roles
from svc_core.domain.identity import ServiceName
from svc_core.errors import ConfigError
from svc_core.placed_yaml import read_placed_yaml

_VERBS: Final = frozenset({"publish", "subscribe"})


def read_acl(path: Path, *, known: frozenset[ServiceName]) -> tuple[Acl, tuple[AclWarning, ...]]:
    """Return the ACL in ``path`` and what in it grants nothing.

    Raises:
        ConfigError: unreadable, not YAML, or not of the shape ``roles: {service: {publish: […],
            subscribe: […]}}``.
    """
    document = read_placed_yaml(path)
    roles = document.data.get("roles")
    if not isinstance(roles, Mapping):
        raise ConfigError(f"{path}: want a mapping called `roles` at the top")
    for name, lists in roles.items():
        if not isinstance(lists, Mapping) or not set(lists) <= _VERBS:
            place = document.place(("roles", name))
            raise ConfigError(f"{place}: roles.{name}: want `publish` and `subscribe` lists")
        for verb, entries in lists.items():
            if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
                place = document.place(("roles", name, verb))
                raise ConfigError(f"{place}: roles.{name}.{verb}: want a list of subjects")
    return acl_from_roles(roles, known=known)
