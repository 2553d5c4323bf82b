"""``plan acl``: what another ACL manifest would change, from two manifests and nothing else."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from console.acl_plan_table import print_plan
from console.interrupts import MISCONFIGURED
from console.stack_commands import NoStackError, running_layout
from devstack.endpoints import read_endpoints
from devstack.layout import SERVICES
from svc_core.domain.acl import VERBS, Acl
from svc_core.domain.acl_diff import AclDiff, TopicRight, diff_acls
from svc_core.domain.identity import ServiceName
from svc_core.errors import ConfigError
from svc_core.wire import acl_manifest
from svc_core.wire.acl_manifest import JudgedManifest, Problem
from svc_core.wire.acl_yaml import MAX_BYTES

KNOWN: Final = frozenset(ServiceName(name) for name in SERVICES)


class NothingInForceError(ConfigError):
    """There is nothing to compare a manifest with."""

    code = "console.no_acl_in_force"
    advice = "name the manifest in force with --against, or the stack's directory with --var"


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What ``plan acl`` was asked for."""

    file: Path
    against: Path | None
    root: Path
    as_json: bool


@dataclass(frozen=True, slots=True)
class AclPlan:
    """What would change, and where."""

    file: Path
    against: Path
    diff: AclDiff
    problems: tuple[Problem, ...]
    servers: tuple[str, ...]
    """NATS servers of the running stack; empty when no stack was asked."""

    @property
    def reloads(self) -> bool:
        """Whether the NATS servers would take over other permissions, all of them."""
        return bool(self.diff.nats_users)

    def as_document(self) -> dict[str, Any]:
        """Return the plan as ``--json`` prints it."""
        diff = self.diff
        return {
            "valid": True,
            "changed": not diff.is_empty,
            "file": str(self.file),
            "against": str(self.against),
            "problems": problem_documents(self.problems),
            "services": _by_service(diff),
            "services_added": diff.services_added,
            "services_removed": diff.services_removed,
            "topics_added": diff.topics_added,
            "topics_removed": diff.topics_removed,
            "keys_to_roll": diff.topics_to_roll,
            "bundles": diff.bundles,
            "nats_users": diff.nats_users,
            "nats_reload": self.reloads,
            "nats_servers": self.servers if self.reloads else (),
        }


async def plan_acl(options: PlanOptions) -> int:
    """Print what ``options.file`` would change; return 0, or 2 when it has errors.

    Raises:
        ConfigError: a file cannot be read, or there is nothing to compare with.
    """
    judged = _judged(options.file)
    _complain(judged, options)
    if judged.acl is None:
        return MISCONFIGURED
    against, servers = _in_force(options)
    diff = diff_acls(_acl_in_force(against), judged.acl)
    plan = AclPlan(options.file, against, diff, judged.problems, servers)
    if options.as_json:
        sys.stdout.write(json.dumps(plan.as_document(), indent=2) + "\n")
    else:
        print_plan(Console(), diff, servers)
    return 0


def _complain(judged: JudgedManifest, options: PlanOptions) -> None:
    """Say what is wrong: as text on standard error, or as the whole answer in JSON."""
    if not options.as_json:
        for problem in judged.problems:
            sys.stderr.write(problem.described(str(options.file)) + "\n")
    elif judged.acl is None:
        document = {
            "valid": False,
            "file": str(options.file),
            "problems": problem_documents(judged.problems),
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")


def _in_force(options: PlanOptions) -> tuple[Path, tuple[str, ...]]:
    """Return the manifest to compare with, and the NATS servers if a stack was asked for it."""
    if options.against is not None:
        return options.against, ()
    try:
        layout = running_layout(options.root)
    except NoStackError as err:
        raise NothingInForceError(str(err)) from err
    endpoints = read_endpoints(layout)
    names = () if endpoints is None else tuple(node.name for node in endpoints.nats)
    return layout.acl_file, names


def _acl_in_force(path: Path) -> Acl:
    judged = _judged(path)
    if judged.acl is None:
        first = judged.errors[0].described(str(path))
        raise NothingInForceError(f"the manifest to compare with has errors: {first}")
    return judged.acl


def _judged(path: Path) -> JudgedManifest:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {err.strerror}") from err
    return acl_manifest.decode(raw, known=KNOWN)


def problem_documents(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Return errors and warnings as ``--json`` prints them."""
    return [
        {
            "line": problem.line,
            "column": problem.column,
            "severity": "error" if problem.is_error else "warning",
            "reason": problem.reason,
        }
        for problem in problems
    ]


def _by_service(diff: AclDiff) -> Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]]:
    services = sorted({right.service for right in (*diff.granted, *diff.withdrawn)})
    return {
        service: {
            "granted": _by_verb(diff.granted, service),
            "withdrawn": _by_verb(diff.withdrawn, service),
        }
        for service in services
    }


def _by_verb(rights: Sequence[TopicRight], service: str) -> dict[str, list[str]]:
    mine = [right for right in rights if right.service == service]
    return {verb: [right.topic for right in mine if right.verb == verb] for verb in VERBS}
