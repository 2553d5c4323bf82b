"""The settings shipped for containers and pods are settings the services accept."""

from pathlib import Path

import pytest

from services.authcontroller.config import AuthControllerSettings
from services.gatekeeper.config import GatekeeperSettings
from services.metadata.config import MetadataSettings
from services.watcher.config import WatcherSettings
from svc_core.config import ServiceSettings
from svc_core.settings_loader import load_settings
from tests.deploy.deployment import MINIKUBE, ROOT, read_yaml

pytestmark = pytest.mark.deploy

MODELS: dict[str, type[ServiceSettings]] = {
    "metadata": MetadataSettings,
    "watcher": WatcherSettings,
    "gatekeeper": GatekeeperSettings,
    "authcontroller": AuthControllerSettings,
}


def shipped(service: str) -> list[Path]:
    return [
        ROOT / "deploy" / "compose" / "services" / f"{service}.yaml",
        MINIKUBE / "bases" / service / "config.yaml",
    ]


@pytest.mark.parametrize("service", MODELS)
def test_the_service_accepts_its_settings(service: str) -> None:
    for path in shipped(service):
        settings = load_settings(
            MODELS[service], config_file=path, environ={"ST_PROFILE": "production"}
        )

        assert settings.profile == "production"
        assert settings.admin.dns_names == (service, "localhost")


def test_every_name_watcher_asks_for_is_provisioned_in_containers() -> None:
    nodes = read_yaml(shipped("watcher")[0])["nats_nodes"]
    command = read_yaml(ROOT / "compose.yaml")["services"]["provision"]["command"]

    for node in nodes:
        assert f"--nats-name={node['dns_names'][0]}" in command


def test_every_name_watcher_asks_for_is_provisioned_in_clusters() -> None:
    nodes = read_yaml(shipped("watcher")[1])["nats_nodes"]
    script = (MINIKUBE / "40-provision").read_text()

    for node in nodes:
        for name in node["dns_names"]:
            host, _, domain = name.partition(".")
            assert name == "localhost" or f'--nats-name "{host}.$names"' in script
            assert not domain or f"names={domain}" in script
