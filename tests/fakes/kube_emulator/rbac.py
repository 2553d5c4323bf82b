"""Who may do what: Roles and RoleBindings as the API server reads them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from tests.fakes.kube_emulator.objects import KINDS, Object, ObjectStore, Place

_RBAC_KINDS: Final = {
    kind: resource
    for resource, kind in KINDS.items()
    if kind in {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
}


@dataclass(frozen=True, slots=True)
class Act:
    """One thing somebody wants to do."""

    user: str
    verb: str
    group: str
    resource: str
    """With its subresource: ``pods/exec``."""
    namespace: str
    name: str = ""
    """Empty where the request names no object."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An act and what RBAC said of it."""

    act: Act
    is_allowed: bool


def service_account(namespace: str, name: str) -> str:
    """Return the user name of a service account."""
    return f"system:serviceaccount:{namespace}:{name}"


class Rbac:
    """Decisions by the roles and bindings in the store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def allows(self, act: Act) -> bool:
        """Say whether any role bound to the user covers ``act``."""
        return any(_covers(rule, act) for rule in self._rules(act))

    def _rules(self, act: Act) -> Iterator[dict[str, Any]]:
        scopes = [("clusterrolebindings", "")]
        if act.namespace:
            scopes.append(("rolebindings", act.namespace))
        for resource, namespace in scopes:
            for binding in self._store.select(resource, namespace):
                if any(_is(subject, act.user, namespace) for subject in binding["subjects"]):
                    yield from self._role(binding["roleRef"], namespace)

    def _role(self, reference: dict[str, str], namespace: str) -> Iterable[dict[str, Any]]:
        is_cluster_role = reference["kind"] == "ClusterRole"
        place = Place(
            "clusterroles" if is_cluster_role else "roles",
            "" if is_cluster_role else namespace,
            reference["name"],
        )
        found = self._store.find(place)
        return (found.get("rules") or ()) if found else ()


def read_rbac(files: Iterable[Path], *, namespace: str) -> list[tuple[Place, Object]]:
    """Return the service accounts, roles and bindings in YAML files.

    Args:
        files: may hold several documents each; other kinds are left out.
        namespace: of those that name none, as a kustomization would set it.
    """
    found = []
    for file in files:
        for document in YAML(typ="safe").load_all(file.read_text()):
            kind = document.get("kind") if isinstance(document, dict) else None
            if kind in _RBAC_KINDS:
                metadata = document["metadata"]
                own = "" if kind.startswith("Cluster") else metadata.get("namespace", namespace)
                found.append((Place(_RBAC_KINDS[kind], own, metadata["name"]), document))
    return found


def _is(subject: dict[str, str], user: str, namespace: str) -> bool:
    if subject["kind"] != "ServiceAccount":
        return subject["name"] == user
    return service_account(subject.get("namespace", namespace), subject["name"]) == user


def _covers(rule: dict[str, Any], act: Act) -> bool:
    names = rule.get("resourceNames") or ()
    return (
        _has(rule.get("verbs"), act.verb)
        and _has(rule.get("apiGroups"), act.group)
        and _has(rule.get("resources"), act.resource)
        and (not names or act.name in names)
    )


def _has(listed: list[str] | None, wanted: str) -> bool:
    return wanted in (listed or ()) or "*" in (listed or ())
