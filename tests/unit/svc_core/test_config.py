from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from svc_core.config import LogSettings, ServiceSettings
from svc_core.domain.profiles import PROFILES


def settings(**changes: object) -> ServiceSettings:
    values: dict[str, Any] = {
        "state_dir": "/state",
        "tls_dir": "/tls",
        "openbao": {
            "url": "https://127.0.0.1:8200",
            "ca_file": "/ca.pem",
            "role_id_file": "/role_id",
            "secret_id_file": "/secret_id",
        },
        "nats": {"servers": ["tls://127.0.0.1:4222"]},
        "trust": {"operator_key_file": "/op.pub", "metadata_identities_file": "/ids.json"},
        "admin": {"port": 8443},
    }
    return ServiceSettings.model_validate(values | changes)


def test_what_is_not_said_has_its_default() -> None:
    chosen = settings()

    assert chosen.profile == "testing"
    assert chosen.log == LogSettings(file=None, level="info")
    assert chosen.nats.ack_timeout == timedelta(seconds=1)
    assert chosen.state_dir == Path("/state")


def test_the_profile_gives_the_rotation_and_the_deployment_the_spiffe_ids() -> None:
    chosen = settings(profile="demo", trust_domain="example.org", namespace="prod")

    assert chosen.rotation is PROFILES["demo"]
    assert chosen.deployment.spiffe_id("watcher") == "spiffe://example.org/ns/prod/sa/watcher"


@pytest.mark.parametrize(
    ("changes", "location"),
    [
        pytest.param({"profile": "staging"}, ("profile",), id="unknown profile"),
        pytest.param({"instance": "Not A Token"}, ("instance",), id="illegal instance name"),
        pytest.param({"admin": {"port": 0}}, ("admin", "port"), id="no port"),
        pytest.param({"nats": {"servers": []}}, ("nats", "servers"), id="no server"),
        pytest.param(
            {"nats": {"servers": ["tls://127.0.0.1:1"], "publish_deadline": "91s"}},
            ("nats", "publish_deadline"),
            id="repeating what the stream has forgotten",
        ),
        pytest.param({"log": {"level": "loud"}}, ("log", "level"), id="unknown level"),
        pytest.param({"drain": 5}, ("drain",), id="duration without unit"),
        pytest.param({"oops": 1}, ("oops",), id="unknown name"),
    ],
)
def test_nonsense_is_refused_with_its_place(
    changes: Mapping[str, object], location: tuple[str, ...]
) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**changes)

    assert [error["loc"] for error in caught.value.errors()] == [location]


def test_an_empty_instance_name_stays_empty() -> None:
    assert settings(instance="").instance == ""


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings().nats.publish_window = 1  # type: ignore[misc]
