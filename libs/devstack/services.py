"""The four services as children: a configuration file each, a clean environment, own logs."""

import importlib.util
import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML

from devstack.children import Child, Program
from devstack.endpoints import Endpoints, port_of
from devstack.identities import instance_in
from devstack.layout import NODES, Layout, service_of
from devstack.processes import Supervisor
from svc_core.adapters.files import make_private_directory, write_private
from svc_core.domain.desired import TrustMode
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER, Deployment
from svc_core.domain.subjects import MOST_STREAM_BYTES

STAGE: Final = 2
_STOP_WITHIN: Final = timedelta(seconds=4.5)
_DRAIN: Final = "3s"
_USERS: Final = 10
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")


RunService = Callable[[str], tuple[str, ...]]
"""Return what Python is given to run one service; its settings follow."""


def run_service(service: str) -> tuple[str, ...]:
    """Return what Python is given to run the product's own service."""
    return ("-m", f"services.{service}.main")


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What all configuration files of one stack are made from."""

    layout: Layout
    endpoints: Endpoints
    deployment: Deployment
    replicas: int
    """Replicas of every stream."""
    run: RunService = run_service
    longest_pause: timedelta = timedelta(seconds=5)
    """Most that is waited before a service is started again."""
    trust_mode: TrustMode = TrustMode.INTERMEDIATES
    stream_bytes: int = MOST_STREAM_BYTES


def write_configuration(plan: ServicePlan, child: str) -> Path:
    """Write the ``config.yaml`` of a service or replica and its directories; return the file."""
    directory = plan.layout.service(child)
    make_private_directory(directory)
    make_private_directory(directory / "state")
    plan.layout.logs.mkdir(parents=True, exist_ok=True)
    if child in {GATEKEEPER, AUTHCONTROLLER}:
        make_private_directory(directory / "journal")
    text = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.dump(service_settings(plan, child), text)
    path = directory / "config.yaml"
    write_private(path, text.getvalue().encode())
    return path


def service_settings(plan: ServicePlan, child: str) -> dict[str, object]:
    """Return the settings of one service or replica as plain data."""
    layout, endpoints = plan.layout, plan.endpoints
    directory, service = layout.service(child), service_of(child)
    common: dict[str, object] = {
        "profile": endpoints.profile,
        "trust_domain": plan.deployment.trust_domain,
        "namespace": plan.deployment.namespace,
        "state_dir": str(directory / "state"),
        "tls_dir": str(directory / "tls"),
        "openbao": {
            "url": endpoints.openbao.url,
            "ca_file": str(layout.openbao_ca),
            "role_id_file": str(layout.role_id(child)),
            "secret_id_file": str(layout.secret_id(child)),
        },
        "nats": {"servers": [node.url for node in endpoints.nats]},
        "trust": {
            "operator_key_file": str(layout.operator_key),
            "metadata_identities_file": str(layout.metadata_identities),
        },
        "admin": {
            "host": "127.0.0.1",
            "port": port_of(endpoints.admin[child]),
            "dns_names": [service, "localhost"],
            "ip_addresses": ["127.0.0.1"],
        },
        "log": {"file": str(layout.log_of(child))},
        "drain": _DRAIN,
    }
    return common | _own_settings(plan, child)


def start_service(supervisor: Supervisor, plan: ServicePlan, child: str) -> Child:
    """Write the configuration of one service or replica and start it."""
    configuration = write_configuration(plan, child)
    return supervisor.start(
        Program(
            name=child,
            argv=(
                sys.executable,
                "-P",
                *plan.run(service_of(child)),
                "--config",
                str(configuration),
            ),
            log_file=plan.layout.logs / f"{child}.out",
            structured_log=plan.layout.log_of(child),
            directory=plan.layout.service(child),
            environment=python_environment(),
            stage=STAGE,
            stop_within=_STOP_WITHIN,
            longest_pause=plan.longest_pause,
        )
    )


def _own_settings(plan: ServicePlan, child: str) -> dict[str, object]:
    layout, service = plan.layout, service_of(child)
    journal: dict[str, object] = {
        "journal_dir": str(layout.service(child) / "journal"),
    }
    if service == METADATA:
        return {
            "instance": instance_in(layout, child),
            "acl_file": str(layout.acl_file),
            "replicas": plan.replicas,
            "trust_mode": plan.trust_mode.value,
            "stream_bytes": plan.stream_bytes,
        }
    if service == WATCHER:
        return {"nats_nodes": _nodes(plan.endpoints), "trust_dir": str(layout.trust)}
    if service == GATEKEEPER:
        return journal | {"load_file": str(layout.load_file), "users": _USERS, "load_rate": 0}
    return journal


def _nodes(endpoints: Endpoints) -> list[dict[str, object]]:
    return [
        {
            "name": node.name,
            "url": node.url,
            "live_dir": node.live_dir,
            "pid_file": node.pid_file,
            "dns_names": [node.name, "localhost"],
            "ip_addresses": ["127.0.0.1"],
        }
        for node in endpoints.nats
        if node.name in NODES
    ]


def python_environment() -> dict[str, str]:
    """Return the environment of a child in Python: the same packages, and little else."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(_import_paths())}


def _import_paths() -> list[str]:
    """Where this process finds the packages, so that a child finds the same ones."""
    paths: dict[str, None] = {}
    for package in ("svc_core", "services"):
        found = importlib.util.find_spec(package)
        for folder in (found.submodule_search_locations or []) if found else []:
            paths[str(Path(folder).parent)] = None
    return list(paths)
