"""The four services as children: a configuration file each, a clean environment, own logs."""

import importlib.util
import io
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML

from devstack.children import Child, Program
from devstack.endpoints import Endpoints, port_of
from devstack.identities import METADATA_INSTANCE
from devstack.layout import NODES, Layout
from devstack.processes import Supervisor
from svc_core.adapters.files import make_private_directory, write_private
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER, Deployment

STAGE: Final = 2
_STOP_WITHIN: Final = timedelta(seconds=4.5)
_DRAIN: Final = "3s"
_USERS: Final = 10
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What all configuration files of one stack are made from."""

    layout: Layout
    endpoints: Endpoints
    deployment: Deployment
    replicas: int
    """Replicas of every stream."""


def write_configuration(plan: ServicePlan, service: str) -> Path:
    """Write one service's ``config.yaml`` and its directories; return the file."""
    directory = plan.layout.service(service)
    make_private_directory(directory)
    make_private_directory(directory / "state")
    plan.layout.logs.mkdir(parents=True, exist_ok=True)
    if service in {GATEKEEPER, AUTHCONTROLLER}:
        make_private_directory(directory / "journal")
    text = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.dump(service_settings(plan, service), text)
    path = directory / "config.yaml"
    write_private(path, text.getvalue().encode())
    return path


def service_settings(plan: ServicePlan, service: str) -> dict[str, object]:
    """Return the settings of one service as plain data."""
    layout, endpoints = plan.layout, plan.endpoints
    directory = layout.service(service)
    common: dict[str, object] = {
        "profile": endpoints.profile,
        "trust_domain": plan.deployment.trust_domain,
        "namespace": plan.deployment.namespace,
        "state_dir": str(directory / "state"),
        "tls_dir": str(directory / "tls"),
        "openbao": {
            "url": endpoints.openbao.url,
            "ca_file": str(layout.openbao_ca),
            "role_id_file": str(layout.role_id(service)),
            "secret_id_file": str(layout.secret_id(service)),
        },
        "nats": {"servers": [node.url for node in endpoints.nats]},
        "trust": {
            "operator_key_file": str(layout.operator_key),
            "metadata_identities_file": str(layout.metadata_identities),
        },
        "admin": {
            "host": "127.0.0.1",
            "port": port_of(endpoints.admin[service]),
            "dns_names": [service, "localhost"],
            "ip_addresses": ["127.0.0.1"],
        },
        "log": {"file": str(layout.log_of(service))},
        "drain": _DRAIN,
    }
    return common | _own_settings(plan, service)


def start_service(supervisor: Supervisor, plan: ServicePlan, service: str) -> Child:
    """Write the configuration of one service and start it."""
    configuration = write_configuration(plan, service)
    return supervisor.start(
        Program(
            name=service,
            argv=(
                sys.executable,
                "-P",
                "-m",
                f"services.{service}.main",
                "--config",
                str(configuration),
            ),
            log_file=plan.layout.logs / f"{service}.out",
            structured_log=plan.layout.log_of(service),
            directory=plan.layout.service(service),
            environment=_environment(),
            stage=STAGE,
            stop_within=_STOP_WITHIN,
        )
    )


def _own_settings(plan: ServicePlan, service: str) -> dict[str, object]:
    layout = plan.layout
    journal: dict[str, object] = {
        "journal_dir": str(layout.service(service) / "journal"),
    }
    if service == METADATA:
        return {
            "instance": METADATA_INSTANCE,
            "acl_file": str(layout.acl_file),
            "replicas": plan.replicas,
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


def _environment() -> dict[str, str]:
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
